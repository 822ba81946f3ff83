"""What travels with a request about a card: the tap by which it was named, and what became of its proof.

A tap's address stands where a card's number does (`IDENTIFIER_KIND_CARD_TAP`). The gateway reads the number
out of it to find the account; the account's shard alone verifies it.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from node.ledger.refusals import Refused
from node.wire.commands import Op

MAX_ADDRESS_CHARS = 300
_NUMBER = re.compile(r"[?&]a=([0-9A-Z]{4,16})(?=&|$)", re.ASCII)

LOOKS = frozenset({Op.IDENTIFY, Op.QUOTE, Op.GET_BALANCE, Op.LIST_STATEMENT})
"""What a tap may be shown for any number of times, until a later one is counted."""
USES_UP = frozenset({Op.ACCRUE, Op.RECORD_ACTIVITY, Op.AUTHORIZE, Op.REDEEM})
"""What counts a tap, so that it is good for nothing more."""
SPENDS = frozenset({Op.AUTHORIZE, Op.REDEEM})
"""What a card's proof may come with."""


class CardWord(Struct, frozen=True, array_like=True):
    """Beside a command, in `extra`. `tap` is an address still to be verified. `judged` of a command that
    was sent on to a pool: the member's account has verified the card, and `refused` says why it is not
    taken.
    """

    tap: str = ""
    judged: bool = False
    refused: Refused | None = None

    def __repr__(self) -> str:
        return f"CardWord(judged={self.judged})"


class ProofFound(Struct, frozen=True, array_like=True):
    """What a card's cryptogram, or an app's answer, is worth for a spend abroad: until when it is to be
    remembered as used, 0 where it proves nothing, and then the name of what is wrong with it.
    """

    good_until_ms: int = 0
    refusal: str = ""


_FOUND = msgspec.msgpack.Decoder(ProofFound)
_WORD = msgspec.msgpack.Decoder(CardWord)
NOTHING = CardWord()


def tap_number(address: str) -> str | None:
    """The card's number as an address says it, unverified; None where it says none, or two."""
    found = _NUMBER.findall(address) if len(address) <= MAX_ADDRESS_CHARS and address.isascii() else []
    return str(found[0]) if len(found) == 1 else None


def tapped(op: Op, address: str) -> bytes:
    """The word that a request by a tap goes with; empty where the tap only names the card."""
    return word_bytes(CardWord(address)) if op in LOOKS or op in USES_UP else b""


def word_bytes(word: CardWord) -> bytes:
    """A word for `Command.extra`."""
    return msgspec.msgpack.encode(word)


def word_of(op: Op, extra: bytes) -> CardWord:
    """The word beside a command of that kind."""
    return _WORD.decode(extra) if extra and (op in USES_UP or op in LOOKS) else NOTHING


def proof_found_bytes(found: ProofFound) -> bytes:
    """What was found, for the pool that pays."""
    return msgspec.msgpack.encode(found)


def proof_found(data: bytes) -> ProofFound:
    """The same again; nothing of nothing."""
    return _FOUND.decode(data) if data else ProofFound()
