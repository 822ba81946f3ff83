"""A member's PIN: good at the member's own merchant's tills alone, and only so many wrong tries in a row.

A PIN alone never spends abroad: a till that lies would see it, and could use it again. What is kept of one is
keyed with a secret of the node that lies apart from the stores: whoever reads a disk cannot try all PINs.
"""

from __future__ import annotations

import hmac
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from node.people.text import DIGITS_TO_ASCII

PIN_MIN_DIGITS, PIN_MAX_DIGITS = 4, 12
DEFAULT_TRIES = 3
"""Wrong PINs in a row that lock it, where the programme does not say."""
MAX_USES = 16
"""Requests that are remembered, so that one that is asked again is judged once: more than one member has
under way, by far.
"""
_TAG = b"vafa member pin v1\x00"


class Use(Struct, frozen=True, array_like=True):
    """A request that brought a PIN, by the hash of all that it says, and whether the PIN was right."""

    use: bytes
    good: bool


class Pin(Struct, frozen=True, array_like=True):
    """What is kept of a member's PIN. `digest` is empty where none is set; `wrong` counts tries in a row;
    `day_units` were spent with it on the local day `day`.
    """

    digest: bytes = b""
    salt: bytes = b""
    wrong: int = 0
    day: int = 0
    day_units: int = 0
    uses: tuple[Use, ...] = ()

    def __repr__(self) -> str:
        return f"Pin(is_set={bool(self.digest)}, wrong={self.wrong})"


class PinRule(Struct, frozen=True):
    """What the programme lets a PIN spend, in units of whatever purse, and how many wrong ones lock it.

    `required_from_units`: a member who has set a PIN spends so much or more only with it, or with a chip
    card; 0 for never.
    """

    transaction_units: int
    day_units: int
    tries: int = DEFAULT_TRIES
    required_from_units: int = 0


class PinVerdict(StrEnum):
    """What a PIN is worth."""

    GOOD = "good"
    NOT_SET = "not_set"
    WRONG = "wrong_pin"
    LOCKED = "locked"
    LIMIT = "limit"
    """It is right, and may not spend that much."""


def normal_pin(typed: str) -> str | None:
    """A PIN of 4 to 12 digits as it is compared, whatever script it was typed in; None for what is none."""
    pin = typed.strip().translate(DIGITS_TO_ASCII)
    sound = PIN_MIN_DIGITS <= len(pin) <= PIN_MAX_DIGITS and pin.isascii() and pin.isdigit()
    return pin if sound else None


def set_pin(state: Pin, pin: str, salt: bytes, secret: bytes) -> Pin:
    """The state with a new PIN, in its normal form, and all its tries. What was spent today stays counted."""
    return replace(state, digest=pin_digest(secret, salt, pin), salt=salt, wrong=0)


def unlocked(state: Pin) -> Pin:
    """The state with all tries, and the same PIN."""
    return replace(state, wrong=0)


def pin_digest(secret: bytes, salt: bytes, pin: str) -> bytes:
    """What is kept of a PIN: HMAC-SHA-256 under the node's secret, over a salt of the member's."""
    return hmac.digest(secret, _TAG + len(salt).to_bytes(2, "big") + salt + pin.encode(), "sha256")


def check_pin(
    state: Pin, typed: str, units: int, day: int, use: bytes, rule: PinRule, secret: bytes
) -> tuple[PinVerdict, Pin]:
    """What a PIN is worth for a spend, and the state after it, which is to be kept whatever becomes of that.

    The same request again (`use`) is judged as before: it counts neither as one more wrong try nor twice
    against the day.
    """
    if not state.digest:
        return PinVerdict.NOT_SET, state
    before = next((one for one in state.uses if one.use == use), None)
    if before is not None:
        return (PinVerdict.GOOD if before.good else PinVerdict.WRONG), state
    if state.wrong >= rule.tries:
        return PinVerdict.LOCKED, state
    pin = normal_pin(typed)
    digest = pin_digest(secret, state.salt, pin or "")
    if pin is None or not hmac.compare_digest(digest, state.digest):
        return PinVerdict.WRONG, _used(replace(state, wrong=state.wrong + 1), use, good=False)
    state = replace(state, wrong=0)
    spent = state.day_units if state.day == day else 0
    if units > rule.transaction_units or spent + units > rule.day_units:
        return PinVerdict.LIMIT, state
    return PinVerdict.GOOD, _used(replace(state, day=day, day_units=spent + units), use, good=True)


def _used(state: Pin, use: bytes, *, good: bool) -> Pin:
    return replace(state, uses=(*state.uses, Use(use, good))[-MAX_USES:])
