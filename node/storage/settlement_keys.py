"""Keys of what is kept of settlements in a control store, the operator's or a merchant's; see `keyspace`."""

from __future__ import annotations

from enum import IntEnum

from node.storage.keyspace import SEQUENCE_MAX, BadKey, ControlKind, control_key, prefix_range


class Item(IntEnum):
    """What is kept. On disks everywhere: never renumber."""

    WINDOW = 0x01
    """A window as it stands, by number."""
    CLOSE = 0x02
    """A pair's close, by window, home and acquirer."""
    MISMATCH = 0x03
    """Where two sides' records part, by window, home, acquirer and lane."""
    STATEMENT = 0x04
    """A published statement, by window."""
    STARTS = 0x05
    """Where a pair's last settled close ended, by home and acquirer."""
    BALANCE = 0x06
    """A prepaid partner's balance, by partner."""
    REQUEST = 0x07
    """What a request did, by its id."""
    CORRECTION = 0x08
    """What the next statement puts right, in the order in which it was agreed."""
    PAID = 0x09
    """That a payment was made, by window and reference."""
    SAID = 0x0B
    """What one side says of a payment that is not marked as made, by window and reference."""
    DEFAULT = 0x0C
    """That a partner is in default, by window and partner."""
    REPLACEMENT = 0x0D
    """The payments that came in the place of a statement's, by window."""
    RELIEVED = 0x0E
    """The newest window whose payments a merchant has taken off its caps."""
    REFUSED = 0x0F
    """Why a pair's close was not taken, by window, home and acquirer: a MissingReason's number."""
    UNREPORTED = 0x10
    """That the operator has not taken a MISMATCH yet, by the same parts."""
    PART = 0x11
    """A part of a payment that one party's bank booked, by window, reference, who said so and a hash of the
    bank's reference.
    """
    HEAD = 0x0A
    """A statement's head as somebody else has it, by window and by whom."""


def item_key(item: Item, *parts: int | str) -> bytes:
    """The key of one thing; numbers are unsigned, texts carry their length in front."""
    return control_key(ControlKind.SETTLEMENT, bytes((item,)) + b"".join(map(_part, parts)))


def item_range(item: Item, *parts: int | str) -> tuple[bytes, bytes]:
    """[start, end) of all things of an item whose key begins with these parts."""
    return prefix_range(item_key(item, *parts))


def _part(value: int | str) -> bytes:
    if isinstance(value, int):
        if not 0 <= value <= SEQUENCE_MAX:
            raise BadKey("a number in a key fits in 64 bits and is not negative")
        return value.to_bytes(8, "big")
    data = value.encode()
    if len(data) > 0xFF:
        raise BadKey("a text in a key has at most 255 bytes")
    return bytes((len(data),)) + data
