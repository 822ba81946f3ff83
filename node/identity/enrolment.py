"""One-time codes with which a terminal, gateway, person or reader gets its first certificate.

A code is sixteen digits in groups of four, so that it can be read over the phone in any language and typed on
a till's number pad. The first four say which ticket it opens and are no secret; the other twelve are. The
control store keeps the ticket; it holds a salted scrypt hash (RFC 7914) of the secret part, never the code.
"""

import hashlib
import hmac
from enum import Enum

import msgspec

from node.identity.caller import Caller

DEFAULT_TTL_MS = 3_600_000
MAX_TRIES = 5
RANDOMNESS_BYTES = 32

_CODE_DIGITS = 16
_NUMBER_DIGITS = 4
_MAX_TYPED_LETTERS = 64
# Every decimal that a Persian or Arabic keyboard types; and what people put between groups, seen or unseen.
_DIGITS = {ord(digit): str(value) for row in ("۰۱۲۳۴۵۶۷۸۹", "٠١٢٣٤٥٦٧٨٩") for value, digit in enumerate(row)}
_BETWEEN = dict.fromkeys(map(ord, " -_.\t\r\n\u00a0\u2010\u2011\u2012\u2013\u2014\u200c\u200e\u200f\u202f"))


class EnrolmentRefusal(Enum):
    """Why a code does not open a ticket, in words for whoever typed it."""

    MALFORMED = "An enrolment code is sixteen digits. Check what was typed; no try was counted."
    WRONG_CODE = "The code is wrong. After five wrong tries it is void."
    TOO_MANY_TRIES = "Too many wrong tries: the code is void. Ask the merchant for a new one."
    EXPIRED = "The code has expired. Ask the merchant for a new one."
    USED = "The code was already used. If not by you, tell the merchant at once; else ask for a new one."


class EnrolmentTicket(msgspec.Struct, frozen=True, kw_only=True):
    """What the control store keeps of a code: whom it makes, until when, and how often it was tried."""

    number: str
    """The first four digits of the code: the key under which the ticket is found."""
    caller_uri: str
    created_by: str
    """URI of the caller who asked for the code."""
    created_ms: int
    expires_ms: int
    salt: bytes
    code_hash: bytes
    tries_left: int = MAX_TRIES
    redeemed_ms: int = 0
    """When it was used; 0 while it was not."""

    def __repr__(self) -> str:
        return f"EnrolmentTicket(number={self.number!r}, caller_uri={self.caller_uri!r})"


def new_ticket(
    caller: Caller,
    *,
    created_by: str,
    now_ms: int,
    randomness: bytes,
    ttl_ms: int = DEFAULT_TTL_MS,
) -> tuple[EnrolmentTicket, str]:
    """A ticket to keep, and the code to tell once: `"1234 5678 9012 3456"`.

    `randomness` is 32 fresh bytes from the system's generator. Only ten thousand numbers exist: if a live
    ticket has the same one, the control store calls again with other bytes. Takes ~50 ms, on purpose.
    """
    if len(randomness) != RANDOMNESS_BYTES:
        raise ValueError(f"randomness is {RANDOMNESS_BYTES} bytes")
    number = f"{int.from_bytes(randomness[:4], 'big') % 10**4:04d}"
    secret = f"{int.from_bytes(randomness[4:16], 'big') % 10**12:012d}"
    salt = randomness[16:]
    ticket = EnrolmentTicket(
        number=number,
        caller_uri=caller.uri,
        created_by=created_by,
        created_ms=now_ms,
        expires_ms=now_ms + ttl_ms,
        salt=salt,
        code_hash=_hash(secret, salt),
    )
    code = number + secret
    return ticket, " ".join(code[start : start + 4] for start in range(0, _CODE_DIGITS, 4))


def ticket_number(code: str) -> str | None:
    """Which ticket a typed code claims to open, or None when it is no code at all (MALFORMED)."""
    digits = _digits(code)
    return digits and digits[:_NUMBER_DIGITS]


def redeem(
    ticket: EnrolmentTicket, code: str, now_ms: int
) -> tuple[EnrolmentTicket, EnrolmentRefusal | None]:
    """Try a typed code on its ticket: the ticket as it must be stored before any answer, and why not.

    A refusal of None means that the ticket is now used and its caller may have a certificate. A wrong code
    costs one of five tries. The slow hash (~50 ms: run it off the event loop) is taken only for a ticket that
    is live, so that strangers cannot keep a processor busy.
    """
    digits = _digits(code)
    if digits is None:
        return ticket, EnrolmentRefusal.MALFORMED
    if ticket.redeemed_ms:
        return ticket, EnrolmentRefusal.USED
    if ticket.tries_left <= 0:
        return ticket, EnrolmentRefusal.TOO_MANY_TRIES
    if now_ms >= ticket.expires_ms:
        return ticket, EnrolmentRefusal.EXPIRED
    right_hash = hmac.compare_digest(_hash(digits[_NUMBER_DIGITS:], ticket.salt), ticket.code_hash)
    if not right_hash or digits[:_NUMBER_DIGITS] != ticket.number:
        return msgspec.structs.replace(ticket, tries_left=ticket.tries_left - 1), EnrolmentRefusal.WRONG_CODE
    return msgspec.structs.replace(ticket, redeemed_ms=now_ms), None


def _digits(code: str) -> str | None:
    """The sixteen ASCII digits of a code as typed, or None."""
    if len(code) > _MAX_TYPED_LETTERS:
        return None
    digits = code.translate(_BETWEEN).translate(_DIGITS)
    return digits if len(digits) == _CODE_DIGITS and digits.isascii() and digits.isdecimal() else None


def _hash(secret: str, salt: bytes) -> bytes:
    # 16 MiB and ~50 ms a guess: a thief of the store needs some 800 processor-years on average, not an hour.
    return hashlib.scrypt(secret.encode("ascii"), salt=salt, n=2**14, r=8, p=1, dklen=32)
