"""The parts of a link by themselves: an outbox with bounds, pauses with jitter, who carries for whom."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.peering.dialler import FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, delay_seconds
from node.peering.outbox import Outbox
from node.peering.ports import PartnerEntry, Peers
from node.peering.relay import carries, may_come_from, relays_towards


def test_an_outbox_refuses_by_number_and_by_bytes_and_drops_nothing() -> None:
    outbox = Outbox(messages=3, most_bytes=10)
    assert [outbox.put(data) for data in (b"aaa", b"bbb", b"ccc", b"d")] == [True, True, True, False]
    assert outbox.take(2, 100) == (b"aaa", b"bbb")
    assert outbox.put(b"0123456789") is False
    assert outbox.put(b"eeeeeee") is True
    assert outbox.take(9, 100) == (b"ccc", b"eeeeeee")
    assert len(outbox) == 0


def test_what_could_not_be_sent_comes_first_again_and_is_never_refused() -> None:
    outbox = Outbox(messages=2, most_bytes=100)
    outbox.put(b"a")
    outbox.put(b"b")
    taken = outbox.take(2, 100)
    outbox.put(b"c")
    outbox.put(b"a")  # it was sent again meanwhile: once is enough
    outbox.put_back(taken)
    assert outbox.take(9, 100) == (b"b", b"c", b"a")


def test_one_message_goes_out_however_large_it_is() -> None:
    outbox = Outbox()
    outbox.put(bytes(5_000))
    outbox.put(b"next")
    assert outbox.take(9, 100) == (bytes(5_000),)
    assert outbox.take(9, 100) == (b"next",)


@given(st.lists(st.binary(min_size=1, max_size=8), max_size=30), st.integers(1, 5))
def test_messages_leave_in_their_order_each_once(put: list[bytes], at_a_time: int) -> None:
    outbox = Outbox()
    for data in put:
        assert outbox.put(data)
    left: list[bytes] = []
    while taken := outbox.take(at_a_time, 1_000):
        left += taken
    assert left == list(dict.fromkeys(put))


@given(st.integers(1, 1_000), st.integers(0, 1 << 32))
def test_a_pause_grows_and_stays_within_its_bounds(failures: int, seed: int) -> None:
    seconds = delay_seconds(failures, random.Random(seed))
    assert FIRST_DELAY_SECONDS / 10 <= seconds <= LONGEST_DELAY_SECONDS
    if failures == 1:
        assert seconds <= FIRST_DELAY_SECONDS


def peers(own_id: str = "nile", own_relay: str = "", **relays: str) -> Peers:
    entries = {
        name: PartnerEntry(name, b"", (), relays.get(name, "")) for name in ("saffron", "zagros", "aras")
    }
    return Peers(own_id, entries, own_relay)


@pytest.mark.parametrize(
    ("known", "connection", "sender", "allowed"),
    [
        (peers(), "saffron", "saffron", True),
        (peers(), "zagros", "saffron", False),
        (peers(saffron="zagros"), "zagros", "saffron", True),
        (peers(own_relay="zagros"), "zagros", "saffron", True),
        (peers(saffron="aras"), "zagros", "saffron", False),
        (peers(own_relay="zagros"), "zagros", "nobody", False),
    ],
)
def test_a_message_may_come_from_its_sender_or_a_relay_that_the_directory_names(
    known: Peers, connection: str, sender: str, allowed: bool
) -> None:
    assert may_come_from(known, connection, sender) is allowed


def test_only_a_relay_carries_and_never_back_to_where_it_came_from() -> None:
    assert carries(peers(saffron="nile"), "zagros", "saffron")
    assert carries(peers(saffron="nile"), "saffron", "zagros")
    assert not carries(peers(saffron="nile"), "saffron", "saffron")
    assert not carries(peers(saffron="nile"), "zagros", "aras")
    assert not carries(peers(saffron="nile"), "nobody", "saffron")


def test_the_receivers_relay_is_tried_before_ones_own() -> None:
    assert relays_towards(peers(own_relay="aras", saffron="zagros"), "saffron") == ("zagros", "aras")
    assert relays_towards(peers(own_relay="saffron"), "saffron") == ()
    assert relays_towards(peers(saffron="nobody"), "saffron") == ()
    assert relays_towards(peers(), "nobody") == ()
