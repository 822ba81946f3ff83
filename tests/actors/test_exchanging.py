"""The gateway between partners and shards: what is verified goes where it belongs; all else is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from node.actors.directories import Directories
from node.actors.exchanging import Exchanging
from node.actors.resolver import Found
from node.coalition.envelopes import Draft, MemberProof, Message
from node.coalition.messages import (
    Authorized,
    Capture,
    ExchangeReason,
    HeadAck,
    HelloRequest,
    LaneHead,
    MessageType,
    Refusal,
    Reserve,
    SaleTerms,
)
from node.ledger.refusals import Reason, Refused, refuse
from node.storage.keyspace import partner_partition
from node.storage.memory import MemoryStore
from node.telemetry import Figures
from node.wire.coalition import (
    Carried,
    EnvelopeSealer,
    Opener,
    carried_bytes,
    identifier_commitment,
    proof_commitment,
)
from node.wire.coalition_frames import RecordsWish
from node.wire.coalition_records import LANE_WISH, Outcome, Said
from node.wire.coalition_trust import KnownDirectories
from node.wire.commands import Answer, AnswerKind, Command, Op, done, encode, refused
from tests.wire.coalition_parties import NOW_MS, signer
from tests.wire.coalition_terms import OPERATOR, SOUND, next_version, published

PARTITIONS = 16
SALT = b"s" * 16
CARD = (1, "2200000000000001")  # of saffron's range
CODE = MemberProof(confirmation_code="123456")
ID = bytes(range(16))


class Shards:
    """Answers each command as it is told to, and keeps what came."""

    partitions = PARTITIONS

    def __init__(self) -> None:
        self.came: list[Command] = []
        self.answer: Callable[[Command], Answer] = lambda command: done(encode(Outcome()))

    async def ask(self, command: Command) -> Answer:
        self.came.append(command)
        return self.answer(command)


class Index:
    """Finds whom it is told to find."""

    def __init__(self) -> None:
        self.found: Found | Refused = Found(bytes(15) + b"\x05", b"d" * 16)
        self.at_ms: list[int] = []
        self.forgotten = 0

    def digest(self, kind: int, value: str) -> bytes:
        return b"d" * 16

    async def find(self, kind: int, value: str, at_ms: int) -> Found | Refused:
        self.at_ms.append(at_ms)
        return self.found

    def forget(self, digest: bytes) -> None:
        self.forgotten += 1


class Sent:
    """Links that keep what is sent."""

    def __init__(self) -> None:
        self.out: list[tuple[str, bytes]] = []

    def connected(self, partner_id: str) -> bool:
        return True

    async def send(self, partner_id: str, carried: bytes) -> bool:
        self.out.append((partner_id, carried))
        return True


class Home:
    """Saffron's gateway, and nile, who writes to it."""

    def __init__(self) -> None:
        self.shards, self.index, self.links, self.figures = Shards(), Index(), Sent(), Figures()
        self.directories = Directories(MemoryStore())
        found = self.directories.adopt(published(), NOW_MS, OPERATOR.public_uri)
        assert isinstance(found, KnownDirectories)
        self.known = found
        self.gateway = Exchanging(
            "saffron",
            self.shards,  # type: ignore[arg-type]  # a double
            self.index,  # type: ignore[arg-type]  # a double
            self.directories,
            lambda: self.sealer("saffron", 2),
            self.figures,
            clock_ms=lambda: NOW_MS,
        )
        self.gateway.links = self.links  # type: ignore[assignment]  # a double

    def sealer(self, partner_id: str, seed: int) -> EnvelopeSealer:
        return EnvelopeSealer(SOUND.coalition_id, partner_id, lambda _: signer(seed))

    def from_nile(self, draft: Draft, **beside: Any) -> bytes:
        return carried_bytes(self.sealer("nile", 1).seal(draft, "saffron", NOW_MS), **beside)

    def reserve(self, kind: int = CARD[0], value: str = CARD[1], occurred_ms: int = NOW_MS - 5) -> bytes:
        body = Reserve(
            5, SaleTerms("north", "till", occurred_ms), 900, b"",
            identifier_commitment(SALT, kind, value), proof_commitment(SALT, CODE),
        )  # fmt: skip
        draft = Draft(MessageType.RESERVE, -1, 0, ID, body)
        return self.from_nile(draft, identifier_kind=kind, identifier=value, proof=CODE, salt=SALT)

    def replies(self) -> list[tuple[str, Message]]:
        """What nile was told, opened by nile."""
        opener = Opener("nile", lambda: self.known)
        opened = [(to, opener.open(data, NOW_MS)) for to, data in self.links.out]
        return [(to, one.message) for to, one in opened if isinstance(one, Carried)]

    def counted(self) -> Counter[tuple[str, ...]]:
        series = self.figures.snapshot().get("vafa_peer_refused_total", [])
        return Counter({labels: int(value) for labels, value in series if isinstance(value, float)})


@pytest.fixture
def home() -> Home:
    return Home()


def capture(lane: int = 3) -> Draft:
    return Draft(MessageType.CAPTURE, lane, 1, ID, Capture(bytes(32), 5))


async def test_a_request_goes_to_the_members_account_as_the_bytes_that_came(home: Home) -> None:
    data = home.reserve()
    await home.gateway.received("nile", data)
    (command,) = home.shards.came
    assert (command.op, command.partition, command.body) == (Op.HOME_MESSAGE, 0, data)
    assert command.account_id == bytes(15) + b"\x05"
    assert home.index.at_ms == [NOW_MS - 5]  # as of the sale, which a repeated request says again


async def test_whoever_carries_no_identifier_here_leads_to_one_partition_all_the_same(home: Home) -> None:
    home.index.found = refuse(Reason.MEMBER_NOT_FOUND, "nobody")
    await home.gateway.received("nile", home.reserve())
    (command,) = home.shards.came
    assert command.account_id == b""
    assert command.digest == b"d" * 16


async def test_what_names_its_lane_goes_there(home: Home) -> None:
    ack = Draft(MessageType.HEAD_ACK, 7, 1, b"", HeadAck(LaneHead(7, 0, bytes(32), 1)))
    await home.gateway.received("nile", home.from_nile(capture(3)))
    await home.gateway.received("nile", home.from_nile(ack))
    assert [command.partition for command in home.shards.came] == [3, 7]


async def test_what_a_home_node_says_goes_to_the_one_partition_that_it_has_here(home: Home) -> None:
    body = Authorized(bytes(32), NOW_MS + 9, 5, b"", 7)
    await home.gateway.received("nile", home.from_nile(Draft(MessageType.AUTHORIZED, 3, 1, ID, body)))
    (command,) = home.shards.came
    assert (command.op, command.partition) == (Op.ACQUIRER_MESSAGE, partner_partition("nile", PARTITIONS))


async def test_what_a_home_node_says_on_a_lane_that_waits_for_hello_is_passed_on_by_its_name(
    home: Home,
) -> None:
    unopened: list[str] = []
    home.gateway.unopened = unopened.append
    not_ready = int(ExchangeReason.LANE_NOT_READY)
    home.shards.answer = lambda command: done(encode(Outcome(refused=not_ready)))
    await home.gateway.received("nile", home.from_nile(capture()))
    assert unopened == []  # that is nile's own affair: it was told so, and asks for HELLO
    body = Authorized(bytes(32), NOW_MS + 9, 5, b"", 7)
    await home.gateway.received("nile", home.from_nile(Draft(MessageType.AUTHORIZED, 3, 1, ID, body)))
    assert unopened == ["nile"]
    assert home.counted()["nile", "LANE_NOT_READY"] == 2


async def test_a_partner_that_has_started_has_the_lanes_opened_that_it_names(home: Home) -> None:
    heads = tuple(LaneHead(lane, 0, bytes(32), 0) for lane in (5, 2, 5, 63))
    draft = Draft(MessageType.HELLO_REQUEST, -1, 0, b"", HelloRequest(heads, b"n" * 16))
    await home.gateway.received("nile", home.from_nile(draft))
    assert [command.partition for command in home.shards.came] == [2, 5]
    assert {LANE_WISH.decode(command.body).nonce for command in home.shards.came} == {b"n" * 16}


async def test_what_a_shard_says_is_sent_and_a_single_call_gets_its_own_answers_back(home: Home) -> None:
    said = (Said("nile", b"for nile"), Said("zagros", b"for zagros"))
    home.shards.answer = lambda command: done(encode(Outcome(says=said)))
    await home.gateway.received("nile", home.from_nile(capture()))
    assert home.links.out == [("nile", b"for nile"), ("zagros", b"for zagros")]
    home.links.out.clear()
    assert await home.gateway.answered("nile", home.from_nile(capture())) == [b"for nile"]
    assert home.links.out == [("zagros", b"for zagros")]


async def test_an_identifier_out_of_this_nodes_range_is_refused_by_name(home: Home) -> None:
    for value in ("1100000000000001", "9900000000000001"):  # nile's own, and nobody's
        await home.gateway.received("nile", home.reserve(value=value))
    assert home.shards.came == []
    assert home.counted()["nile", "NOT_IN_RANGE"] == 2
    (_, first), _ = home.replies()
    assert isinstance(first.body, Refusal)
    assert first.body.reason is ExchangeReason.NOT_IN_RANGE


async def test_a_message_on_another_partners_connection_changes_nothing(home: Home) -> None:
    await home.gateway.received("zagros", home.from_nile(capture()))
    assert home.shards.came == []
    assert home.counted()["zagros", "MISROUTED"] == 1
    assert home.links.out == []  # nobody is told: whoever sent it may be anybody


async def test_garbage_forged_and_foreign_messages_change_nothing_and_are_counted(home: Home) -> None:
    message = home.sealer("nile", 1).seal(capture(), "saffron", NOW_MS)
    forged = carried_bytes(replace(message, signature=bytes(64)))
    other = carried_bytes(home.sealer("nile", 1).seal(capture(), "zagros", NOW_MS))
    for data in (b"\xff\x00garbage", forged, other):
        await home.gateway.received("nile", data)
    assert home.shards.came == []
    assert {reason for _, reason in home.counted()} == {"MALFORMED", "BAD_SIGNATURE", "MISROUTED"}
    assert home.replies() == []


async def test_a_refusal_is_never_refused_back(home: Home) -> None:
    body = Refusal(bytes(32), ExchangeReason.STALE)
    draft = Draft(MessageType.REFUSAL, -1, 0, ID, body)
    await home.gateway.received("nile", home.from_nile(draft))
    assert [command.op for command in home.shards.came] == [Op.ACQUIRER_MESSAGE]
    home.shards.answer = lambda command: refused(refuse(Reason.OVERLOADED, "full"))
    await home.gateway.received("nile", home.from_nile(draft))
    assert home.links.out == []


async def test_a_shard_that_is_too_busy_is_said_so_with_a_time_to_try_again(home: Home) -> None:
    home.shards.answer = lambda command: refused(refuse(Reason.OVERLOADED, "full"))
    await home.gateway.received("nile", home.from_nile(capture()))
    ((to, message),) = home.replies()
    assert to == "nile"
    assert isinstance(message.body, Refusal)
    assert message.body.reason is ExchangeReason.OVERLOADED
    assert message.body.retry_after_ms > 0


async def test_a_card_that_was_linked_elsewhere_meanwhile_is_followed(home: Home) -> None:
    answers = [Answer(AnswerKind.MOVED), done(encode(Outcome()))]
    home.shards.answer = lambda command: answers.pop(0)
    await home.gateway.received("nile", home.reserve())
    assert home.index.forgotten == 1
    assert len(home.shards.came) == 2


async def test_a_member_of_a_pool_leads_to_the_pool(home: Home) -> None:
    pool = b"\x00" * 7 + b"\x09" + bytes(8)
    answers = [Answer(AnswerKind.POOLED, pool), done(encode(Outcome()))]
    home.shards.answer = lambda command: answers.pop(0)
    await home.gateway.received("nile", home.reserve())
    assert (home.shards.came[1].account_id, home.shards.came[1].partition) == (pool, 9)


async def test_records_are_read_by_the_two_sides_of_the_lane_alone(home: Home) -> None:
    home.shards.answer = lambda command: done(encode(Outcome(records=(b"record",))))
    ours, theirs = RecordsWish("saffron", "nile", 3, 1), RecordsWish("nile", "saffron", 3, 1)
    assert await home.gateway.lane_records("nile", ours) == (b"record",)
    assert await home.gateway.lane_records("nile", theirs) == (b"record",)
    assert [command.partition for command in home.shards.came] == [3, partner_partition("nile", PARTITIONS)]
    for stranger in (RecordsWish("saffron", "zagros", 3, 1), RecordsWish("saffron", "nile", 64, 1)):
        assert await home.gateway.lane_records("nile", stranger) == ()
    assert len(home.shards.came) == 2
    assert home.counted()["nile", "MISROUTED"] == 1


async def test_a_node_without_a_directory_hears_nobody() -> None:
    home = Home()
    home.directories.known = None
    await home.gateway.received("nile", home.from_nile(capture()))
    assert home.shards.came == []


async def test_a_connection_with_a_relay_reaches_those_that_it_carries_for(home: Home) -> None:
    partners = tuple(
        replace(one, relay_partner_id="zagros" if one.partner_id == "nile" else "") for one in SOUND.partners
    )
    found = home.directories.adopt(published(next_version(partners=partners)), NOW_MS + 60_000)
    assert isinstance(found, KnownDirectories)
    greeted: list[str] = []
    home.gateway.greeted = greeted.append
    await home.gateway.connected("zagros")
    assert greeted == ["zagros", "nile"]
    await home.gateway.connected("nile")
    assert greeted == ["zagros", "nile", "nile"]
