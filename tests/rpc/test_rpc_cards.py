"""From a bureau's job to a till: cards are enrolled at a running node and prove spends there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from cards.cli.enrolling import NodeEnroller
from cards.jobs import CardEnrolment, Result
from cards.keys import Domain
from cards.keystore import KeyId, KeyPurpose, SealedFileStore
from node.config import ConfigError
from node.identity.caller import Role
from node.identity.keys import write_secret
from node.proto.vafa.common.v1 import balance_pb2
from node.proto.vafa.member.v1 import member_service_pb2, member_service_pb2_grpc
from node.proto.vafa.pos.v1 import card_pb2, pos_service_pb2_grpc, spending_pb2
from simulators.local_node import LocalNode
from simulators.operations import OperationWriter, change_in, timestamp
from simulators.purchases import card_identifier
from tests.cards.bureau import KINDS, MERCHANT, NTAG, Kind, issuer
from tests.cards.jobs.batch import Batch, Hand, a_batch, blank_cards, signed_job
from tests.rpc.shop import sale

PASSPHRASE = "other words at random"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Place:
    """A running node of the issuer's, with its keys."""

    node: LocalNode
    bureau: NodeEnroller


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    directory = tmp_path_factory.mktemp("saffron")
    with closing(SealedFileStore.create(directory / "keys", PASSPHRASE, cost_log2=14)) as store:
        key = issuer(Domain.VERIFICATION)
        store.add(KeyId(KeyPurpose.VERIFICATION, MERCHANT, 1), key.key, created_ms=1)
    write_secret(directory / "pass", PASSPHRASE.encode())
    settings: dict[str, str | int | bool] = {
        "key_store": str(directory / "keys"),
        "passphrase_file": str(directory / "pass"),
        "tap_transaction_units": 20,
        "tap_day_units": 30,
    }
    node = LocalNode(directory, settings=settings, merchant=MERCHANT)
    await node.start()
    yield Place(node, NodeEnroller(node.directory / "vafa.toml", node.addresses.address, None))
    await node.stop()
    assert node.check().problems == []


def a_job(directory: Path, kind: Kind, place: Place, first: int) -> Batch:
    batch = a_batch(directory, kind, '[enrolment]\naccounts = "personal"\n')
    text = (directory / "JOB.toml").read_text().replace("6104000000017", f"61040000{first:05d}")
    batch.job = signed_job(directory, text)
    batch.node = place.bureau  # type: ignore[assignment]  # a double
    batch.ticks = count(place.node.now_ms())
    return batch


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_a_card_of_a_job_is_enrolled_and_spends_at_the_till(
    place: Place, tmp_path: Path, kind: Kind
) -> None:
    batch = a_job(tmp_path, kind, place, 100 + kind.profile.value)
    (card,) = blank_cards(kind, 1)
    (outcome,) = await asyncio.to_thread(batch.run, Hand([card]))
    assert outcome.result is Result.FINISHED, outcome.words
    assert (await asyncio.to_thread(batch.run, Hand([]))) == []

    shown = card_identifier(outcome.number)
    write = OperationWriter(clock=place.node.now_ms)
    channel = place.node.channel(place.node.certificate(Role.TILL, "till-1", "north"))
    pos = pos_service_pb2_grpc.PosServiceStub(channel)
    earned = change_in(write.accrual(shown, sale(10_000)))
    await pos.Accrue(earned)
    spend = balance_pb2.Spend(purse="points", units=25)
    begun = await pos.BeginCardProof(card_pb2.BeginCardProofRequest(identifier=shown, spend=spend))
    card.tap()
    apdu = begun.command_apdu
    while True:
        answer = await pos.ContinueCardProof(
            card_pb2.ContinueCardProofRequest(
                identifier=shown, spend=spend, session_id=begun.session_id, response_apdu=card.transmit(apdu)
            )
        )
        if answer.WhichOneof("next") == "proof":
            break
        apdu = answer.command_apdu
    redeemed = await pos.Redeem(
        spending_pb2.RedeemRequest(
            request_id=f"r-{kind.name}",
            identifier=shown,
            occurred_time=timestamp(place.node.now_ms()),
            spends=[spend],
            proof=answer.proof,
        )
    )
    assert redeemed.spent[0].units == 25
    await channel.close()


async def test_an_enrolment_that_is_sent_twice_takes_effect_once(place: Place, tmp_path: Path) -> None:
    batch = a_job(tmp_path, NTAG, place, 200)
    accounts: list[str] = []

    class Twice:
        def enrol(self, card: CardEnrolment) -> str:
            accounts.extend(place.bureau.enrol(card) for _ in range(2))
            return accounts[-1]

    batch.node = Twice()  # type: ignore[assignment]  # a double
    (outcome,) = await asyncio.to_thread(batch.run, Hand(blank_cards(NTAG, 1)))
    assert outcome.result is Result.FINISHED
    assert accounts[0] == accounts[1]
    channel = place.node.channel(place.node.certificate(Role.STAFF, "maryam"))
    members = member_service_pb2_grpc.MemberServiceStub(channel)
    shown = member_service_pb2.GetMemberRequest(identifier=card_identifier(outcome.number))
    assert (await members.GetMember(shown)).account_id == accounts[0]
    await channel.close()


async def test_a_number_that_another_has_is_refused_and_the_card_waits(place: Place, tmp_path: Path) -> None:
    await place.node.enrol(card_identifier("6104000000300"))
    batch = a_job(tmp_path, NTAG, place, 300)
    (outcome,) = await asyncio.to_thread(batch.run, Hand(blank_cards(NTAG, 1)))
    assert outcome.result is Result.ENROLMENT_REFUSED
    assert "another account" in outcome.words


async def test_a_node_whose_key_store_cannot_be_opened_says_why(tmp_path: Path) -> None:
    settings = {"key_store": str(tmp_path / "nowhere"), "passphrase_file": str(tmp_path / "pass")}
    write_secret(tmp_path / "pass", b"words")
    node = LocalNode(tmp_path, settings=settings)
    with pytest.raises(ConfigError, match="key_store"):
        await node.start()
