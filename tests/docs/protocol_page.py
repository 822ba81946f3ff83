"""The parts of docs/protocol.md that come from the code. `python -m tests.docs.protocol_page` writes them
anew.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from node.coalition import acquirer_facts, lanes
from node.coalition.envelopes import Draft, Message
from node.coalition.exchange import (
    ACQUIRER,
    HOME,
    HOPELESS,
    AcquirerState,
    HomeState,
    Row,
)
from node.coalition.messages import (
    LANE_UNKNOWN,
    Accrue,
    Body,
    ExchangeReason,
    Hello,
    LaneHead,
    MessageType,
    Posted,
    PostedCore,
    RecordKind,
    SaleTerms,
    commitment,
)
from node.identity.beside import SealingKey
from node.identity.signers import Signer, ed25519_signer
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.wire.coalition import PAYLOAD_TYPE, EnvelopeSealer, carried_bytes
from node.wire.coalition_beside import sealed_for
from node.wire.coalition_bodies import ENCODER

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
NOW_MS = 1_800_000_000_000
NILE, SAFFRON = "nile", "saffron"
EXCHANGE_ID = bytes(range(16))
SALT = bytes(range(16, 32))
_KEYS = {
    name: ed25519_signer(Ed25519PrivateKey.from_private_bytes(name[:1].encode() * 32))
    for name in (NILE, SAFFRON)
}


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table as the page has it."""
    heads = list(heads)
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _row(state: str, event: str, row: Row, then: str) -> list[str]:
    says = row.says.name if row.says else ""
    return [state, event, then, ", ".join(row.effects), says]


def home() -> str:
    """A's transitions."""
    rows = (_row(at.name, event, row, HomeState(row.then).name) for (at, event), row in HOME.items())
    return table(["state", "event", "then", "in the same batch", "A says"], rows)


def acquirer() -> str:
    """B's transitions, those of an ended exchange left out where nothing happens."""
    rows = (
        _row(at.name, event, row, AcquirerState(row.then).name)
        for (at, event), row in ACQUIRER.items()
        if row.then != at or at not in (AcquirerState.DONE, AcquirerState.FAILED)
    )
    return table(["state", "event", "then", "in the same batch", "B sends"], rows)


def bounds() -> str:
    """Times of the reference node."""
    rows = [
        ("first retry", f"{acquirer_facts.RETRY_FIRST_MS} ms, doubling, half of it by chance"),
        ("longest pause between retries", f"{acquirer_facts.RETRY_MAX_MS // 1000} s"),
        ("an authorization is let go after the hold's end by", f"{acquirer_facts.HOLD_SLACK_MS // 1000} s"),
        ("records said again for one HEAD_ACK", str(lanes.MAX_RESENT)),
        ("exchanges of each sort in one HELLO_REPLY", f"{lanes.MAX_LISTED_IDS:,}"),
        ("a nonce", f"{lanes.NONCE_BYTES} bytes"),
        ("epochs lie below", f"2^{lanes.MAX_EPOCH.bit_length() - 1}"),
    ]
    return table(["bound", "value"], rows)


_MEANINGS = {
    ExchangeReason.MEMBER_NOT_FOUND: "Nobody of A's carries the identifier.",
    ExchangeReason.ACCOUNT_UNUSABLE: "The account is blocked, closed or set aside.",
    ExchangeReason.INSUFFICIENT_BALANCE: "There is too little to spend; ask for less.",
    ExchangeReason.PROOF_REFUSED: "The proof is missing, wrong, used, or of another sale: ask anew.",
    ExchangeReason.PROOF_LIMIT: "A lets this kind of proof spend less; ask for less, or for another proof.",
    ExchangeReason.CAP_EXCEEDED: "The bilateral cap would be passed, or as a refusal the part of it at hand.",
    ExchangeReason.STALE: "Too old for a message that is not known; sign an earning anew.",
    ExchangeReason.CONFLICT: "The id stands for another body: a fault in B, or an id used twice.",
    ExchangeReason.HOLD_EXPIRED: "The hold's time was over by A's clock.",
    ExchangeReason.CANCELLED: "B let it go.",
    ExchangeReason.UNKNOWN_EXCHANGE: "A does not know it, and it never will.",
    ExchangeReason.ABOVE_AUTHORIZED: "The capture is above what was authorised.",
    ExchangeReason.BAD_SIGNATURE: "It does not hold, or the key was not valid: fetch the directory.",
    ExchangeReason.MISROUTED: "For another coalition, node or lane.",
    ExchangeReason.WRONG_EPOCH: "Another epoch: wait for HELLO, then sign anew.",
    ExchangeReason.LANE_NOT_READY: "The lane waits for HELLO.",
    ExchangeReason.NOT_A_PARTNER: "Suspended, left, or not in the directory.",
    ExchangeReason.MALFORMED: "It cannot be read, or a value lies outside its bounds.",
    ExchangeReason.OVERLOADED: "A queue is full, or an account is set aside.",
    ExchangeReason.RETURN_EXCEEDS_POSTED: "More would come back than was posted.",
    ExchangeReason.WRONG_WINDOW: "Outside the calendar: fetch the directory.",
    ExchangeReason.BROKEN_CHAIN: "The lane is disputed; people must look.",
    ExchangeReason.NOT_IN_RANGE: "No directory range of A's covers the identifier.",
    ExchangeReason.RECORD_MISSING: "Never sent: B counts by it what comes before a record it lacks.",
}


def reasons() -> str:
    """Every reason, with what B does on it as a refusal."""
    rows = []
    for reason in ExchangeReason:
        if not reason:
            continue
        does = "let go" if reason in HOPELESS else "send again"
        if reason is ExchangeReason.CONFLICT:
            does = "let go; nothing of this body is there"
        if reason is ExchangeReason.STALE:
            does = "an earning or return: sign anew; else let go"
        rows.append([str(int(reason)), reason.name, _MEANINGS[reason], does])
    return table(["number", "reason", "means", "as a refusal"], rows)


def _seal(type_: MessageType, lane: int, epoch: int, exchange_id: bytes, body: Body, sender: str) -> Message:
    def signer_at(at_ms: int) -> Signer:
        return _KEYS[sender]

    receiver = SAFFRON if sender == NILE else NILE
    draft = Draft(type_, lane, epoch, exchange_id, body)
    return EnvelopeSealer("bazaar", sender, signer_at).seal(draft, receiver, NOW_MS)


def accrue() -> Message:
    """B's ACCRUE of the examples."""
    committed = commitment(SALT, b"\x01" + b"6273000011000001")
    body = Accrue(40, SaleTerms("shop", "till-1", NOW_MS, bytes(32)), 0, 0, b"", committed)
    return _seal(MessageType.ACCRUE, LANE_UNKNOWN, 0, EXCHANGE_ID, body, SAFFRON)


def posted() -> Message:
    """A's POSTED for it, the first record of lane 3 in epoch 1."""
    core = PostedCore(EXCHANGE_ID, RecordKind.ACCRUAL, "points", 40, 3, 1, 1, 1, NOW_MS, accrue().hash)
    core_bytes = ENCODER.core(core)
    digest = lanes.chain(lanes.GENESIS, accrue().header_bytes, core_bytes)
    body = Posted(core_bytes, core, digest, 1_040, bytes(range(32, 48)))
    return _seal(MessageType.POSTED, 3, 1, EXCHANGE_ID, body, NILE)


def hello() -> Message:
    """A's HELLO on the empty lane 3."""
    body = Hello(LaneHead(3, 0, lanes.GENESIS, 1), bytes(range(48, 64)), b"")
    return _seal(MessageType.HELLO, 3, 1, b"", body, NILE)


def carried_bytes_beside(carried: bytes) -> bytes:
    """What is beside the envelope, as it is sealed."""
    beside = envelope_pb2.Carried.FromString(carried)
    beside.ClearField("envelope")
    return beside.SerializeToString()


def relayed() -> bytes:
    """B's ACCRUE as a relay is given it."""
    carried = carried_bytes(accrue(), identifier_kind=1, identifier="6273000011000001", salt=SALT)
    ephemeral = X25519PrivateKey.from_private_bytes(b"e" * 32)
    sealed = sealed_for(SealingKey(b"x" * 32).uri, carried, ephemeral)
    assert sealed is not None
    return sealed


def _shown(title: str, data: bytes) -> str:
    lines = "\n".join(textwrap.wrap(data.hex(), 96))
    return f"{title}, {len(data)} bytes:\n\n" + textwrap.indent(lines, "    ")


def examples() -> str:
    """Messages in full."""
    asked, word, opened = accrue(), posted(), hello()
    pae = b"DSSEv1 %d %b %d %b" % (
        len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(asked.header_bytes), asked.header_bytes,
    )  # fmt: skip
    carried = carried_bytes(asked, identifier_kind=1, identifier="6273000011000001", salt=SALT)
    assert isinstance(word.body, Posted)
    parts = [
        "### ACCRUE\nB forwards 40 units for the card 6273000011000001, at store `shop`, till `till-1`.",
        _shown("Body", asked.body_bytes),
        _shown("Header", asked.header_bytes),
        _shown("What is signed (PAE)", pae),
        _shown("Signature", asked.signature),
        _shown("As it travels, a Carried", carried),
        "By a relay: A's private X25519 key is 32 bytes `x`, the one made for this message 32 bytes `e`.",
        _shown("What is sealed", carried_bytes_beside(carried)),
        _shown("Sealed", envelope_pb2.Carried.FromString(relayed()).sealed.SerializeToString()),
        "### POSTED\nA has credited it: the first record of lane 3, in epoch 1.",
        _shown("Core", word.body.core_bytes),
        _shown("h_1", word.body.hash),
        _shown("Body", word.body_bytes),
        _shown("Header", word.header_bytes),
        _shown("Signature", word.signature),
        "### HELLO\nA opens the empty lane 3 in epoch 1.",
        _shown("Body", opened.body_bytes),
        _shown("Header", opened.header_bytes),
        _shown("Signature", opened.signature),
    ]
    return "\n\n".join(parts)


PARTS: dict[str, Callable[[], str]] = {
    "home": home,
    "acquirer": acquirer,
    "bounds": bounds,
    "reasons": reasons,
    "examples": examples,
}


def drawn(page: str) -> str:
    """The page with every part as the code has it now."""
    for name, part in PARTS.items():
        marked = f"<!-- {name} -->\n"
        pattern = re.compile(re.escape(marked) + r".*?" + re.escape(f"<!-- /{name} -->"), re.DOTALL)
        assert pattern.search(page), name
        before, after = pattern.split(page)
        page = f"{before}{marked}{part()}\n<!-- /{name} -->{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text("utf-8")), "utf-8")
