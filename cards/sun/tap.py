"""Reading the address of a tap, without believing any of it yet."""

import re
from dataclasses import dataclass

from cards.crypto import BLOCK_BYTES
from cards.sun.mirror import COUNTER_BYTES, MAC_BYTES, UID_BYTES, PiccData

MAX_ADDRESS_BYTES = 512
"""More than an NTAG 424 DNA's file can hold."""
MAX_FILE_DATA_BYTES = 256

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})*")


class TapMalformed(Exception):
    """An address that no card of this layout makes. The message names the parameter, and shows no value."""


@dataclass(frozen=True, slots=True)
class SunLayout:
    """The names of an address's parameters.

    Either `picc` (encrypted) or `uid` and `counter` (in the clear) say whose tap it is. The MAC covers the
    text from the value of `covered_from` up to its own value; without one, it covers no text and still the
    UID and counter.
    """

    mac: str = "m"
    picc: str | None = "p"
    uid: str | None = None
    counter: str | None = None
    file_data: str | None = None
    issuer: str | None = "i"
    alias: str | None = "a"
    covered_from: str | None = "i"


@dataclass(frozen=True, slots=True)
class Tap:
    """One tap as it was read; only `mac` says whether any of the rest is true."""

    issuer: str | None
    alias: str | None
    encrypted_picc: bytes | None
    plain_picc: PiccData | None
    encrypted_file_data: bytes | None
    covered: bytes
    mac: bytes


def parse_tap(address: str, layout: SunLayout) -> Tap:
    """Read `address`; `TapMalformed` for anything that a card with `layout` could not have made.

    Nothing is percent-decoded: a card mirrors letters and digits only, and the MAC is over the text as it
    stands.
    """
    if len(address) > MAX_ADDRESS_BYTES or not address.isascii():
        raise TapMalformed("The address is no card's: too long, or not plain ASCII.")
    found = _parameters(address)
    mac, mac_at = _hex(found, layout.mac, MAC_BYTES), found[layout.mac][1]
    picc = _hex(found, layout.picc, BLOCK_BYTES) if layout.picc else None
    return Tap(
        issuer=_text(found, layout.issuer),
        alias=_text(found, layout.alias),
        encrypted_picc=picc,
        plain_picc=None if layout.picc else _plain_picc(found, layout),
        encrypted_file_data=_hex(found, layout.file_data, None) if layout.file_data else None,
        covered=_covered(address, found, layout.covered_from, mac_at),
        mac=mac,
    )


_Parameters = dict[str, tuple[str, int]]


def _parameters(address: str) -> _Parameters:
    """Each parameter's value, and where in the address the value begins."""
    _, mark, query = address.partition("?")
    at = len(address) - len(query)
    found: _Parameters = {}
    for part in query.split("&") if mark else []:
        name, equals, value = part.partition("=")
        if name in found:
            raise TapMalformed(f"The address names {name!r} twice.")
        if equals:
            found[name] = (value, at + len(name) + 1)
        at += len(part) + 1
    return found


def _text(found: _Parameters, name: str | None) -> str | None:
    return None if name is None else _value(found, name)


def _value(found: _Parameters, name: str) -> str:
    if name not in found:
        raise TapMalformed(f"The address has no {name!r}.")
    return found[name][0]


def _hex(found: _Parameters, name: str, size: int | None) -> bytes:
    value = _value(found, name)
    if not _HEX.fullmatch(value):
        raise TapMalformed(f"The address's {name!r} is not in hex.")
    raw = bytes.fromhex(value)
    if size is None:
        if not 0 < len(raw) <= MAX_FILE_DATA_BYTES or len(raw) % BLOCK_BYTES:
            raise TapMalformed(f"The address's {name!r} is no whole number of blocks.")
    elif len(raw) != size:
        raise TapMalformed(f"The address's {name!r} has {len(raw)} bytes instead of {size}.")
    return raw


def _plain_picc(found: _Parameters, layout: SunLayout) -> PiccData:
    uid = _hex(found, layout.uid, UID_BYTES) if layout.uid else None
    # In the address the counter is written as people write numbers: highest digit first.
    counter = int.from_bytes(_hex(found, layout.counter, COUNTER_BYTES), "big") if layout.counter else None
    return PiccData(uid, counter)


def _covered(address: str, found: _Parameters, covered_from: str | None, mac_at: int) -> bytes:
    if covered_from is None:
        return b""
    _value(found, covered_from)
    start = found[covered_from][1]
    if start > mac_at:
        raise TapMalformed(f"The address's MAC stands before {covered_from!r}, which it should cover.")
    return address[start:mac_at].encode("ascii")
