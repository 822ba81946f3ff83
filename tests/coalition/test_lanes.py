"""Chains, epochs and HELLO of a lane, and the proof that a home node told two histories."""

from __future__ import annotations

import hashlib

import pytest
from msgspec.structs import replace

from node.coalition import lanes, pseudonyms
from node.coalition.envelopes import Draft, Message
from node.coalition.lanes import AcquirerLane, Arrival, HomeLane, Opening
from node.coalition.messages import (
    ExchangeReason,
    HeadAck,
    Hello,
    HelloReply,
    LaneHead,
    MessageType,
    Posted,
    PostedCore,
    RecordKind,
)
from node.wire.coalition_bodies import ENCODER
from tests.coalition.exchange_parts import LANE, NILE, NOW_MS, SAFFRON, seal

NONCE = b"n" * 16


def hello(epoch: int, number: int = 0, digest: bytes = lanes.GENESIS, nonce: bytes = NONCE) -> Message:
    body = Hello(LaneHead(LANE, number, digest, epoch), nonce)
    return seal(Draft(MessageType.HELLO, LANE, epoch, b"", body), NILE, SAFFRON, NOW_MS)


def posted(lane: AcquirerLane, epoch: int = 1, request: bytes = b"request", units: int = 5) -> Message:
    """The record that follows on a lane."""
    number = lane.number + 1
    core = PostedCore(b"x" * 16, RecordKind.ACCRUAL, "points", units, LANE, number, 1, 1, NOW_MS, b"h" * 32)
    core_bytes = ENCODER.core(core)
    body = Posted(core_bytes, core, lanes.chain(lane.hash, request, core_bytes), 0, b"")
    return seal(Draft(MessageType.POSTED, LANE, epoch, b"x" * 16, body), NILE, SAFFRON, NOW_MS)


def body_of(message: Message) -> Posted:
    assert isinstance(message.body, Posted)
    return message.body


def test_a_records_hash_is_what_the_page_says() -> None:
    data = b"vafa lane record v1\x00" + bytes(32) + (7).to_bytes(8, "big") + b"request"
    expected = hashlib.sha256(data + (4).to_bytes(8, "big") + b"core").digest()
    assert lanes.chain(lanes.GENESIS, b"request", b"core") == expected


def test_no_two_ways_of_cutting_request_and_core_give_one_hash() -> None:
    assert lanes.chain(lanes.GENESIS, b"ab", b"c") != lanes.chain(lanes.GENESIS, b"a", b"bc")


def test_an_epoch_only_rises_and_is_above_what_the_acquirer_has_seen() -> None:
    lane, draft = lanes.propose(HomeLane(SAFFRON, LANE, epoch=4), NONCE, 9)
    assert lane.epoch == draft.epoch == 10
    assert isinstance(draft.body, Hello)
    assert draft.body.head.epoch == 10


def reply(lane: HomeLane, number: int = 0, prior: int = 0, digest: bytes = lanes.GENESIS) -> HelloReply:
    return HelloReply(LaneHead(LANE, number, digest, prior), lane.nonce)


def test_a_reply_opens_the_lane_that_it_answers_and_no_other() -> None:
    lane, _ = lanes.propose(HomeLane(SAFFRON, LANE), NONCE)
    assert lanes.on_hello_reply(lane, reply(lane), 1) is Opening.READY
    assert lanes.on_hello_reply(lane, replace(reply(lane), nonce=b"o" * 16), 1) is Opening.IGNORED
    elsewhere = HelloReply(LaneHead(LANE + 1, 0, lanes.GENESIS, 0), lane.nonce)
    assert lanes.on_hello_reply(lane, elsewhere, 1) is Opening.IGNORED


def test_a_home_node_that_lost_records_imports_them_and_one_that_forked_is_found_out() -> None:
    lane, _ = lanes.propose(HomeLane(SAFFRON, LANE, 3, b"3" * 32), NONCE)
    assert lanes.on_hello_reply(lane, reply(lane, 4, digest=b"4" * 32), 1) is Opening.IMPORT
    assert lanes.on_hello_reply(lane, reply(lane, 2, digest=b"2" * 32), 1) is Opening.READY
    assert lanes.on_hello_reply(lane, reply(lane, 3, digest=b"x" * 32), 1) is Opening.FORKED


def test_a_home_node_that_forgot_its_epoch_proposes_again_above_it() -> None:
    lane, _ = lanes.propose(HomeLane(SAFFRON, LANE), NONCE)
    assert lanes.on_hello_reply(lane, reply(lane, prior=1), 1) is Opening.AGAIN
    assert lanes.on_hello_reply(lane, reply(lane), 2) is Opening.AGAIN
    assert lanes.on_hello_reply(lane, reply(lane), lanes.MAX_EPOCH) is Opening.IGNORED


def test_the_same_hello_is_answered_the_same_and_an_older_one_is_not_adopted() -> None:
    lane = AcquirerLane(NILE, LANE, epoch=3)
    taken = lanes.on_hello(lane, hello(5))
    assert not isinstance(taken, ExchangeReason)
    adopted, prior = taken
    assert (adopted.epoch, prior) == (5, 3)
    assert lanes.on_hello(adopted, hello(5)) == (adopted, 3)
    assert lanes.on_hello(adopted, hello(5, nonce=b"o" * 16)) == (adopted, 5)
    assert lanes.on_hello(adopted, hello(4)) == (adopted, 5)


@pytest.mark.parametrize(
    "message",
    [
        hello(0),
        hello(lanes.MAX_EPOCH),
        hello(5, nonce=b"short678"),
        seal(
            Draft(MessageType.HELLO, LANE, 6, b"", Hello(LaneHead(LANE, 0, lanes.GENESIS, 5), NONCE)),
            NILE, SAFFRON, NOW_MS,
        ),
    ],
)  # fmt: skip
def test_a_hello_that_makes_no_sense_is_malformed(message: Message) -> None:
    assert lanes.on_hello(AcquirerLane(NILE, LANE), message) is ExchangeReason.MALFORMED


def test_an_acquirer_in_a_new_life_takes_only_the_hello_that_it_asked_for() -> None:
    old = hello(5).body
    assert isinstance(old, Hello)
    assert lanes.is_of_this_life(old, True, NONCE)
    assert not lanes.is_of_this_life(old, False, NONCE)
    assert lanes.is_of_this_life(replace(old, request_nonce=NONCE), False, NONCE)
    assert not lanes.is_of_this_life(replace(old, request_nonce=b""), False, b"")


def test_records_are_followed_in_order_in_the_present_epoch_alone() -> None:
    lane = AcquirerLane(NILE, LANE, epoch=1)
    first = body_of(posted(lane))
    assert lanes.arrival(lane, first, 1, b"request") is Arrival.NEXT
    assert lanes.arrival(lane, first, 2, b"request") is Arrival.OLD_EPOCH
    assert lanes.arrival(lane, first, 1, b"another") is Arrival.BROKEN
    after = lanes.follow(lane, first)
    assert lanes.arrival(after, first, 1, b"request") is Arrival.KNOWN
    third = body_of(posted(lanes.follow(after, body_of(posted(after)))))
    assert lanes.arrival(after, third, 1, b"request") is Arrival.GAP


def test_a_home_node_whose_hello_and_records_differ_is_disputed() -> None:
    lane = AcquirerLane(NILE, LANE, epoch=1, home_number=1, home_hash=b"x" * 32)
    assert lanes.follow(lane, body_of(posted(lane))).disputed


def test_an_acknowledgement_that_repeats_itself_asks_for_what_follows() -> None:
    lane = HomeLane(SAFFRON, LANE, 5, b"5" * 32, 1, acked=1)
    ack = HeadAck(LaneHead(LANE, 2, b"2" * 32, 1))
    taken = lanes.on_head_ack(lane, ack, b"2" * 32)
    assert not isinstance(taken, ExchangeReason)
    assert (taken[0].acked, list(taken[1])) == (2, [])
    again = lanes.on_head_ack(taken[0], ack, b"2" * 32)
    assert not isinstance(again, ExchangeReason)
    assert list(again[1]) == [3, 4, 5]
    assert lanes.on_head_ack(lane, ack, b"x" * 32) is ExchangeReason.BROKEN_CHAIN
    beyond = HeadAck(LaneHead(LANE, 6, b"6" * 32, 1))
    assert lanes.on_head_ack(lane, beyond, None) is ExchangeReason.BROKEN_CHAIN


def test_two_signed_histories_prove_a_fork_and_nothing_less_does() -> None:
    lane = AcquirerLane(NILE, LANE, epoch=1)
    one, other = posted(lane), posted(lane, units=6)
    assert lanes.is_fork_proof(one, other)
    assert not lanes.is_fork_proof(one, one)
    assert not lanes.is_fork_proof(one, posted(lane, epoch=2, units=6)), (
        "another epoch may be another history"
    )
    assert not lanes.is_fork_proof(one, posted(replace(lane, number=1), units=6))
    assert lanes.is_fork_proof(one, hello(1, 1, b"x" * 32))
    ack = seal(lanes.head_ack(lane), SAFFRON, NILE, NOW_MS)
    assert not lanes.is_fork_proof(one, ack)


def test_a_pseudonym_leads_its_home_node_back_and_differs_for_every_partner() -> None:
    account_id = bytes(range(16))
    names = {partner: pseudonyms.pseudonym(b"secret", partner, account_id) for partner in ("a", "b")}
    assert len({*names.values(), account_id}) == 3
    for partner, name in names.items():
        assert pseudonyms.account_of(b"secret", partner, name) == account_id
        assert pseudonyms.account_of(b"other", partner, name) != account_id
    with pytest.raises(ValueError, match="16 bytes"):
        pseudonyms.pseudonym(b"secret", "a", b"short")
