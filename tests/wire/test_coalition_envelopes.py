"""Envelopes between merchants: what one seals the other opens whole; all else is refused by name."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from node.coalition import messages as m
from node.coalition.card_messages import CardStep, CardStepped
from node.coalition.envelopes import AppAnswer, Draft, Header, MemberProof, Message
from node.coalition.messages import BODIES, ExchangeReason, LaneHead, MessageType
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.wire import coalition, coalition_read
from node.wire.coalition import BY_HOME, ON_A_LANE, PAYLOAD_TYPE, Carried, Unopened, carried_bytes
from node.wire.coalition_bodies import ENCODER, header_bytes, read_body
from node.wire.coalition_fields import MAX_UNITS
from node.wire.commands import Command, Op
from tests.wire.coalition_parties import HOUR_MS, NOW_MS, Keys, Party, signer

KEYS = Keys()
NILE = Party("nile", 1, KEYS)  # acquirer
SAFFRON = Party("saffron", 2, KEYS)  # home
SALT = b"s" * 16
ID = bytes(range(16))
PHONE = (3, "+989121234567")
CODE = MemberProof(confirmation_code="12345678")

hashes = st.binary(min_size=32, max_size=32)
units = st.integers(1, MAX_UNITS)
balances = st.integers(-MAX_UNITS, MAX_UNITS)
ids = st.binary(min_size=16, max_size=16)
times = st.integers(0, 4_000_000_000_000)
reasons = st.sampled_from(ExchangeReason).filter(bool)
pseudonyms = st.binary(max_size=32)
terms = st.builds(m.SaleTerms, st.text("abc-", max_size=20), st.text("a/", max_size=9), times, hashes)
heads = st.builds(LaneHead, st.integers(0, 15), st.integers(0, 2**60), hashes, st.integers(0, 2**60))
cores = st.builds(
    m.PostedCore, ids, st.sampled_from(m.RecordKind), st.just("coalition"), st.integers(0, MAX_UNITS),
    st.integers(0, 15), st.integers(1, 2**60), st.integers(0, 2**60), st.integers(0, 99),
    st.integers(1, 4_000_000_000_000), hashes, st.integers(0, 2**60),
)  # fmt: skip
limits = st.lists(
    st.builds(m.ProofLimit, st.sampled_from(["app_answer", "pin"]), st.integers(0, 10**9)), max_size=4
)
card_sessions = st.sampled_from([b"", b"s" * 16])
BODY_STRATEGIES: dict[MessageType, st.SearchStrategy[Any]] = {
    MessageType.RESERVE: st.builds(m.Reserve, units, terms, st.integers(1, 999), pseudonyms, hashes, hashes),
    MessageType.AUTHORIZED: st.builds(m.Authorized, hashes, times, units, pseudonyms, balances),
    MessageType.DECLINED: st.builds(m.Declined, hashes, reasons),
    MessageType.CAPTURE: st.builds(m.Capture, hashes, units),
    MessageType.CANCEL: st.builds(m.Cancel, hashes),
    MessageType.POSTED: st.builds(
        lambda core, hash_, left, name: m.Posted(ENCODER.core(core), core, hash_, left, name),
        cores, hashes, balances, pseudonyms,
    ),
    MessageType.VOIDED: st.builds(m.Voided, st.one_of(hashes, st.just(b"")), reasons),
    MessageType.ACCRUE: st.builds(m.Accrue, units, terms, times, times, pseudonyms, hashes),
    MessageType.RETURN: st.builds(m.ReturnAbroad, ids, st.integers(1, 2**60), units, terms),
    MessageType.QUERY: st.builds(m.Query, hashes),
    MessageType.HEAD_ACK: st.builds(m.HeadAck, heads),
    MessageType.HELLO: st.builds(m.Hello, heads, st.binary(min_size=16, max_size=16)),
    MessageType.HELLO_REPLY: st.builds(
        m.HelloReply, heads, st.binary(min_size=16, max_size=16),
        st.lists(ids, max_size=4).map(tuple), st.lists(ids, max_size=4).map(tuple),
    ),
    MessageType.HELLO_REQUEST: st.builds(m.HelloRequest, st.lists(heads, max_size=4).map(tuple)),
    MessageType.CHALLENGE: st.builds(m.Challenge, units, hashes, terms),
    MessageType.CHALLENGED: st.builds(m.Challenged, times),
    MessageType.REFUSAL: st.builds(m.Refusal, hashes, reasons, st.integers(0, 2**60), st.integers(0, 9_000)),
    MessageType.INQUIRE: st.builds(m.Inquire, hashes),
    MessageType.INQUIRED: st.builds(
        m.Inquired, st.integers(-1, MAX_UNITS), pseudonyms, limits.map(tuple), st.sampled_from(ExchangeReason)
    ),
    MessageType.SETTLEMENT: st.builds(m.Settlement, st.binary(min_size=1, max_size=200)),
    MessageType.CARD_STEP: st.builds(
        CardStep, units, hashes, st.text(max_size=60), card_sessions, st.binary(max_size=300)
    ),
    MessageType.CARD_STEPPED: st.builds(
        CardStepped, card_sessions, st.binary(max_size=300), times, st.text(max_size=40)
    ),
}  # fmt: skip
drafts = st.sampled_from(MessageType).flatmap(
    lambda type_: BODY_STRATEGIES[type_].map(
        lambda body: Draft(type_, 3, 7, b"" if type_ in ON_A_LANE else ID, body)
    )
)


def committed(draft: Draft) -> Draft:
    """The draft with commitments to PHONE and CODE, where its body has any."""
    changes: dict[str, bytes] = {}
    if hasattr(draft.body, "identifier_commitment"):
        changes["identifier_commitment"] = coalition.identifier_commitment(SALT, *PHONE)
    if hasattr(draft.body, "proof_commitment"):
        changes["proof_commitment"] = coalition.proof_commitment(SALT, CODE)
    return replace(draft, body=replace(draft.body, **changes)) if changes else draft


def ends(draft: Draft) -> tuple[Party, Party]:
    """Who sends a draft, and to whom."""
    return (SAFFRON, NILE) if draft.type in BY_HOME else (NILE, SAFFRON)


def beside(draft: Draft) -> dict[str, Any]:
    """What travels beside a draft."""
    if not hasattr(draft.body, "identifier_commitment"):
        return {}
    found = {"identifier_kind": PHONE[0], "identifier": PHONE[1], "salt": SALT}
    return {**found, "proof": CODE} if hasattr(draft.body, "proof_commitment") else found


RESERVE = committed(Draft(MessageType.RESERVE, -1, 0, ID, m.Reserve(5, m.SaleTerms(), 900, b"", b"", b"")))


def sent(draft: Draft = RESERVE, now_ms: int = NOW_MS, **other: Any) -> bytes:
    sender, receiver = ends(draft)
    message = sender.sealer.seal(draft, receiver.partner_id, now_ms)
    return carried_bytes(message, **{**beside(draft), **other})


def reason(data: bytes, by: Party = SAFFRON, now_ms: int = NOW_MS) -> ExchangeReason:
    opened = by.opener.open(data, now_ms)
    assert isinstance(opened, Unopened), opened
    return opened.reason


def resealed(change: Callable[[Header], Header], by: Party = NILE, draft: Draft = RESERVE) -> bytes:
    """A message whose header was changed before it was signed, by whoever signs."""
    message = by.sealer.seal(draft, "saffron", NOW_MS)
    signed = header_bytes(change(message.header))
    return carried_bytes(
        replace(message, header_bytes=signed, signature=by.signer.sign(PAYLOAD_TYPE, signed)), **beside(draft)
    )


@given(drafts)
def test_what_is_sealed_opens_as_it_was_said_with_its_exact_bytes(draft: Draft) -> None:
    draft = committed(draft)
    sender, receiver = ends(draft)
    message = sender.sealer.seal(draft, receiver.partner_id, NOW_MS)
    opened = receiver.opener.open(carried_bytes(message, **beside(draft)), NOW_MS)
    assert isinstance(opened, Carried), opened
    assert opened.message == message
    assert coalition.reopen(carried_bytes(message, **beside(draft))) == opened
    taken = Command(Op.HOME_MESSAGE, 0, b"", b"", "", "", "", "", b"", read=coalition_read.pack(opened))
    assert coalition_read.carried_by(taken) == opened
    assert opened.message.body == draft.body
    assert (opened.message.header.lane, opened.message.header.epoch) == (3, 7)
    if beside(draft):
        assert (opened.identifier_kind, opened.identifier, opened.salt) == (*PHONE, SALT)


@given(drafts)
def test_the_same_body_always_has_the_same_bytes(draft: Draft) -> None:
    assert ENCODER.body(draft.body) == ENCODER.body(read_body(draft.type, ENCODER.body(draft.body)))


def test_every_type_has_a_body_that_is_tried() -> None:
    assert set(BODY_STRATEGIES) == set(MessageType) == set(BODIES)


@given(st.binary(max_size=400))
def test_garbage_is_refused_by_name_and_raises_nothing(data: bytes) -> None:
    opened = SAFFRON.opener.open(data, NOW_MS)
    assert isinstance(opened, Unopened)
    assert isinstance(SAFFRON.opener.evidence(data), Unopened)


@given(drafts, st.data())
def test_whatever_is_changed_on_the_way_is_refused(draft: Draft, data: st.DataObject) -> None:
    draft = committed(draft)
    sender, receiver = ends(draft)
    message = sender.sealer.seal(draft, receiver.partner_id, NOW_MS)
    whole = bytearray(carried_bytes(message, **beside(draft)))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    opened = receiver.opener.open(bytes(whole), NOW_MS)
    # A flipped byte may sit in the frame around the envelope; what was signed is then whole, or refused.
    if isinstance(opened, Carried):
        assert opened.message == message


@given(st.sampled_from(MessageType), st.binary(max_size=200))
def test_a_signed_body_of_garbage_is_malformed_or_within_its_bounds(type_: MessageType, body: bytes) -> None:
    """A partner may sign anything: the signature makes no field true."""
    sender, receiver = (SAFFRON, NILE) if type_ in BY_HOME else (NILE, SAFFRON)
    header = Header(
        1, KEYS.coalition_id, sender.partner_id, receiver.partner_id, sender.signer.public_uri, 0, 1, type_,
        b"" if type_ in ON_A_LANE else ID, NOW_MS, m.sha256(body),
    )  # fmt: skip
    signed = header_bytes(header)
    message = Message(header, m.Query(bytes(32)), signed, body, sender.signer.sign(PAYLOAD_TYPE, signed))
    opened = receiver.opener.open(carried_bytes(message), NOW_MS)
    if isinstance(opened, Carried):
        assert read_body(type_, ENCODER.body(opened.message.body)) == opened.message.body
    else:
        assert opened.reason in (ExchangeReason.MALFORMED, ExchangeReason.PROOF_REFUSED)


def test_a_message_for_somebody_else_or_of_another_coalition_is_misrouted() -> None:
    assert reason(sent(), by=Party("zagros", 3, KEYS)) is ExchangeReason.MISROUTED
    assert reason(resealed(lambda h: replace(h, coalition_id="another"))) is ExchangeReason.MISROUTED
    assert reason(resealed(lambda h: replace(h, sender_id="saffron"), by=SAFFRON)) is ExchangeReason.MISROUTED


def test_a_stranger_is_no_partner_and_a_partner_signs_for_itself_alone() -> None:
    stranger = Party("stranger", 9, Keys())
    assert reason(resealed(lambda h: h, by=stranger)) is ExchangeReason.NOT_A_PARTNER
    borrowed = resealed(lambda h: replace(h, sender_id="nile"), by=Party("zagros", 3, Keys()))
    assert reason(borrowed) is ExchangeReason.BAD_SIGNATURE
    named = resealed(lambda h: replace(h, key_uri=NILE.signer.public_uri), by=SAFFRON)
    assert reason(named) is ExchangeReason.BAD_SIGNATURE


def test_an_old_signature_holds_under_the_key_that_was_valid_when_it_was_made() -> None:
    keys = Keys()
    party, receiver = Party("nile", 4, keys), Party("saffron", 5, keys)
    keys.windows["nile", party.signer.public_uri] = (NOW_MS - 2 * HOUR_MS, NOW_MS - HOUR_MS)
    old = party.sealer.seal(RESERVE, "saffron", NOW_MS - 2 * HOUR_MS)
    assert isinstance(receiver.opener.open(carried_bytes(old, **beside(RESERVE)), NOW_MS), Carried)
    for at_ms in (NOW_MS - 2 * HOUR_MS - 1, NOW_MS - HOUR_MS, NOW_MS):
        late = party.sealer.seal(RESERVE, "saffron", at_ms)
        assert reason(carried_bytes(late, **beside(RESERVE)), receiver) is ExchangeReason.BAD_SIGNATURE


def test_a_message_from_further_ahead_than_clocks_may_differ_is_stale() -> None:
    ahead = sent(now_ms=NOW_MS + KEYS.skew_ms)
    assert isinstance(SAFFRON.opener.open(ahead, NOW_MS), Carried)
    assert reason(sent(now_ms=NOW_MS + KEYS.skew_ms + 1)) is ExchangeReason.STALE


@pytest.mark.parametrize("lane", [4, 15, 63])
def test_a_lane_that_the_home_node_does_not_have_is_misrouted(lane: int) -> None:
    assert reason(resealed(lambda h: replace(h, lane=lane))) is ExchangeReason.MISROUTED


def test_what_must_name_its_lane_is_not_taken_without() -> None:
    ack = Draft(MessageType.HEAD_ACK, -1, 1, b"", m.HeadAck(LaneHead(0, 0, bytes(32), 0)))
    assert reason(sent(ack)) is ExchangeReason.MISROUTED
    assert isinstance(SAFFRON.opener.open(sent(RESERVE), NOW_MS), Carried)


def test_an_exchange_has_an_id_and_a_lane_has_none() -> None:
    assert reason(resealed(lambda h: replace(h, exchange_id=b""))) is ExchangeReason.MALFORMED
    hello = Draft(MessageType.HEAD_ACK, 0, 1, ID, m.HeadAck(LaneHead(0, 0, bytes(32), 0)))
    assert reason(sent(hello)) is ExchangeReason.MALFORMED


def test_an_identifier_or_proof_that_is_not_what_was_signed_is_refused() -> None:
    assert reason(sent(identifier="+989121234568")) is ExchangeReason.MALFORMED
    assert reason(sent(identifier_kind=1)) is ExchangeReason.MALFORMED
    assert reason(sent(salt=b"t" * 16)) is ExchangeReason.MALFORMED
    assert reason(sent(identifier_kind=0)) is ExchangeReason.MALFORMED
    assert reason(sent(proof=None)) is ExchangeReason.PROOF_REFUSED
    assert reason(sent(proof=MemberProof(confirmation_code="12345679"))) is ExchangeReason.PROOF_REFUSED


@pytest.mark.parametrize(
    "proof",
    [
        CODE,
        MemberProof(pin="1234"),
        MemberProof(card_cryptogram=b"\x01" * 16),
        MemberProof(app_answer=AppAnswer("ABCDEFGH", b"n" * 8, 900, 55)),
    ],
)
def test_each_kind_of_proof_travels_whole(proof: MemberProof) -> None:
    body = replace(
        typing.cast(m.Reserve, RESERVE.body), proof_commitment=coalition.proof_commitment(SALT, proof)
    )
    opened = SAFFRON.opener.open(sent(replace(RESERVE, body=body), proof=proof), NOW_MS)
    assert isinstance(opened, Carried)
    assert opened.proof == proof


def test_evidence_is_opened_for_itself_whoever_it_was_for() -> None:
    old = NILE.sealer.seal(RESERVE, "saffron", NOW_MS)
    refusal = Draft(MessageType.REFUSAL, 0, 1, ID, m.Refusal(bytes(32), ExchangeReason.WRONG_EPOCH, 9))
    message = SAFFRON.sealer.seal(refusal, "nile", NOW_MS)
    opened = NILE.opener.open(carried_bytes(message, evidence=[coalition.envelope_bytes(old)]), NOW_MS)
    assert isinstance(opened, Carried)
    assert NILE.opener.evidence(opened.evidence[0]) == old
    forged = coalition.envelope_bytes(replace(old, signature=bytes(64)))
    found = NILE.opener.evidence(forged)
    assert isinstance(found, Unopened)
    assert found.reason is ExchangeReason.BAD_SIGNATURE


def test_a_message_of_the_wrong_type_of_document_is_not_signed_for_this() -> None:
    message = NILE.sealer.seal(RESERVE, "saffron", NOW_MS)
    other = replace(
        message, signature=NILE.signer.sign("application/vnd.vafa.directory.v1", message.header_bytes)
    )
    assert reason(carried_bytes(other, **beside(RESERVE))) is ExchangeReason.BAD_SIGNATURE


def test_more_beside_a_message_than_its_bounds_is_malformed() -> None:
    one = coalition.envelope_bytes(NILE.sealer.seal(RESERVE, "saffron", NOW_MS))
    assert reason(sent(evidence=[one] * 65)) is ExchangeReason.MALFORMED
    assert reason(sent(salt=b"s" * 33)) is ExchangeReason.MALFORMED
    assert reason(bytes(10) * 100_000) is ExchangeReason.MALFORMED


def test_neither_identifier_nor_proof_stands_in_a_signed_body_or_a_repr() -> None:
    message = NILE.sealer.seal(RESERVE, "saffron", NOW_MS)
    signed = message.header_bytes + message.body_bytes
    assert PHONE[1].encode() not in signed
    assert b"12345678" not in signed
    opened = SAFFRON.opener.open(sent(), NOW_MS)
    assert PHONE[1] not in repr(opened)
    assert "12345678" not in repr(opened)


def test_the_proto_of_a_carried_message_is_what_the_frame_says() -> None:
    outer = envelope_pb2.Carried.FromString(sent())
    assert envelope_pb2.Header.FromString(outer.envelope.header).receiver_id == "saffron"
    assert signer(1).public_uri == NILE.signer.public_uri
