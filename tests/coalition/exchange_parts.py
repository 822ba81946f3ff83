"""What tests of the exchange are made of: a directory, messages with their bytes, wishes of tills."""

from __future__ import annotations

from dataclasses import dataclass

from node.coalition import (
    acquirer,
)
from node.coalition.acquirer_facts import (
    NOTHING_SECRET,
    Secretly,
)
from node.coalition.directory import (
    Cap,
    CoalitionPurse,
    Directory,
    ExchangeBounds,
    Partner,
    PartnerStatus,
    Rate,
    Window,
)
from node.coalition.envelopes import Draft, Envelope, Header, Message
from node.coalition.messages import (
    Accrue,
    MessageType,
    Reserve,
    SaleTerms,
    commitment,
    sha256,
)
from node.coalition.proofs import ProofRule, ProofRules
from node.ledger.purses import PurseDefinition, PurseKind
from node.wire.coalition_bodies import ENCODER, header_bytes

NILE, SAFFRON = "nile", "saffron"
NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
LANE = 3
MEMBER = bytes(range(16))
PSEUDONYM = b"p" * 16
CODE = "123456"
CARD = (1, "1100223344")
POINTS = PurseDefinition("coalition", PurseKind.POINTS)
SECRET = b"secret of the codes"
KEYS = {NILE: "ed25519:" + "1" * 64, SAFFRON: "ed25519:" + "2" * 64}

RULES = ProofRules(ProofRule(1_000, 2_000), ProofRule(500, 500))

DIRECTORY = Directory(
    coalition_id="bazaar",
    version=1,
    publish_time_ms=NOW_MS - DAY_MS,
    partners=(
        Partner(NILE, "Nile", PartnerStatus.ACTIVE, partitions=16),
        Partner(SAFFRON, "Saffron", PartnerStatus.ACTIVE, partitions=16),
    ),
    purse=CoalitionPurse("coalition"),
    rates=(Rate(1, NOW_MS - DAY_MS, 900_000, 1_000_000, "IRR"), Rate(2, NOW_MS + DAY_MS, 1, 1, "IRR")),
    windows=(Window(1, NOW_MS - DAY_MS, NOW_MS + DAY_MS), Window(2, NOW_MS + DAY_MS, NOW_MS + 40 * DAY_MS)),
    caps=(Cap(NILE, SAFFRON, 10_000), Cap(SAFFRON, NILE, 5_000)),
    bounds=ExchangeBounds(),
)


@dataclass(frozen=True)
class Sent:
    """A message on its way."""

    to: str
    message: Message
    secretly: Secretly = NOTHING_SECRET
    evidence: tuple[Envelope, ...] = ()

    @property
    def type(self) -> MessageType:
        return self.message.header.type


def seal(draft: Draft, sender: str, receiver: str, now_ms: int) -> Message:
    """A draft as a message with all its bytes but the signature."""
    body = draft.body_bytes or ENCODER.body(draft.body)
    header = Header(
        1, DIRECTORY.coalition_id, sender, receiver, KEYS[sender], draft.lane, draft.epoch, draft.type,
        draft.exchange_id, now_ms, sha256(body),
    )  # fmt: skip
    return Message(header, draft.body, header_bytes(header), body, bytes(64))


def exchange_id(number: int) -> bytes:
    """The id of the story's exchange of that number."""
    return bytes((number,)) * 16


def spend_wish(exchange: bytes, units: int, one_step: bool, code: str, now_ms: int) -> acquirer.Wish:
    salt = b"s" * 16
    committed = commitment(salt, bytes((CARD[0],)) + CARD[1].encode())
    terms = SaleTerms("shop", "till", now_ms, b"h" * 32)
    body = Reserve(units, terms, 900, b"", committed, commitment(salt, code.encode()))
    secretly = Secretly(*CARD, code.encode(), salt)
    return acquirer.Wish(exchange, body, secretly, "shop/till", exchange.hex(), one_step)


def earn_wish(exchange: bytes, units: int, now_ms: int) -> acquirer.Wish:
    salt = b"s" * 16
    committed = commitment(salt, bytes((CARD[0],)) + CARD[1].encode())
    body = Accrue(units, SaleTerms("shop", "till", now_ms, b"h" * 32), 0, 0, b"", committed)
    return acquirer.Wish(exchange, body, Secretly(*CARD, b"", salt), "shop/till", exchange.hex())
