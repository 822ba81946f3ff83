"""The node's own shard without Ray and gRPC: a store, settings, and commands as the gateway sends them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from bench.messages import AccrualMaker, card_number
from bench.report import BenchFailed
from node.actors.host import ShardSpec
from node.actors.settings import ShardSettings
from node.ledger.refusals import Refused
from node.programme.default import starter_programme
from node.proto.vafa.member.v1.member_service_pb2 import EnrolRequest
from node.storage.keyspace import partition_of
from node.storage.meta import FIRST_GENERATION, StoreIdentity, StoreKind, create_store
from node.wire.commands import AnswerKind, Command, LinkWish, Op, decode_answers, encode
from node.wire.requests import pack, parse

PARTITIONS = 16
CURRENCY = "IRR"
_MERCHANT = "bench"
_TERMINAL, _STORE = "store-1/till-1", "store-1"
_CARD_KIND = 1
_ENROL_AT_ONCE = 1_000


class CommandRefused(BenchFailed):
    """A shard refused what a bench asked of it, so it did not measure what it meant to."""


def new_spec(directory: Path, hosted: Iterable[int] = range(PARTITIONS)) -> ShardSpec:
    """A fresh store in `directory`, and what a shard over it must be told: a new installation's programme."""
    identity = StoreIdentity(os.urandom(16), StoreKind.SHARD, _MERCHANT, PARTITIONS)
    directory.parent.mkdir(parents=True, exist_ok=True)
    create_store(directory, identity, hosted=hosted)
    programme = replace(starter_programme(0, name="Bench"), version=1)
    return ShardSpec(
        number=0,
        directory=str(directory),
        store_id=identity.store_id,
        generation=FIRST_GENERATION,
        settings=ShardSettings(_MERCHANT, CURRENCY, "Asia/Tehran", PARTITIONS),
        programmes=msgspec.msgpack.encode((programme,)),
        master_key=bytes(32),
    )


def account_id(member: int) -> bytes:
    """The account of the benches' member `member`: always the same, and uniform as an id must be."""
    return hashlib.sha256(b"bench account %d" % member).digest()[:16]


def card_digest(member: int) -> bytes:
    """The digest of the member's card; keyed by nothing, for nobody looks it up."""
    return hashlib.sha256(b"bench card %d" % member).digest()[:16]


def enrolment(member: int, *, now_ms: int, partition: int | None = None) -> Command:
    """Opens the member's account with its card, past the identifier index."""
    request = EnrolRequest(request_id=f"enrol-{member}")
    request.occurred_time.FromMilliseconds(now_ms)
    link = LinkWish(card_digest(member), _CARD_KIND, card_number(member)[-4:], account_id(member))
    return _command(Op.ENROL, member, request.SerializeToString(), partition, encode((link,)))


def accrual(member: int, body: bytes, *, partition: int | None = None) -> Command:
    """An AccrueRequest of the member's, whose account a card led to, as the gateway has read it."""
    parsed = parse(Op.ACCRUE, body, _STORE, CURRENCY)
    assert not isinstance(parsed, Refused)
    return _command(Op.ACCRUE, member, b"", partition, b"", card_digest(member), pack(parsed))


def accruals(maker: AccrualMaker, members: Sequence[int]) -> list[Command]:
    """A new accrual for each of `members`. The card in it is another: a shard goes by the digest alone."""
    return [accrual(member, body) for member, body in zip(members, maker.accruals(len(members)), strict=True)]


def enrolments(members: Sequence[int], *, now_ms: int, partition: int | None = None) -> Iterator[bytes]:
    """Messages that open all these accounts: where their ids lead, or all of them in one partition."""
    for first in range(0, len(members), _ENROL_AT_ONCE):
        some = members[first : first + _ENROL_AT_ONCE]
        yield encode([enrolment(member, now_ms=now_ms, partition=partition) for member in some])


def insist(answers: bytes) -> int:
    """How many answers a shard's message holds; `CommandRefused` unless all of them are good."""
    decoded = decode_answers(answers)
    for answer in decoded:
        if answer.kind != AnswerKind.DONE:
            raise CommandRefused(f"The shard refused a command of the bench: {answer.refusal}")
    return len(decoded)


def _command(
    op: Op,
    member: int,
    body: bytes,
    partition: int | None,
    extra: bytes,
    digest: bytes = b"",
    read: bytes = b"",
) -> Command:
    account = account_id(member)
    placed = partition_of(account, PARTITIONS) if partition is None else partition
    return Command(op, placed, account, digest, _TERMINAL, _STORE, _TERMINAL, "", body, extra, read)
