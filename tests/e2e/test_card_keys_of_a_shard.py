"""The keys for chip cards of a real shard, on Ray: rotated while it runs, and there after it was killed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cards.keys import Domain
from cards.keystore import KeyId, KeyPurpose, SealedFileStore
from node.identity.caller import Role
from node.identity.keys import write_secret
from simulators import shoppers
from simulators.cards.card import seeded
from simulators.cards.shelf import Profile
from simulators.cards.wallet import Wallet
from simulators.launch import NodeUnderTest, launch_node
from simulators.refusal import Refused
from simulators.staff import Staff
from simulators.till import Till
from tests.cards.bureau import MERCHANT, issuer
from tests.cards.jobs.batch import issuer_keys
from tests.e2e.test_shard_processes import owner_of, stores

pytestmark = [pytest.mark.ray, pytest.mark.slow]

WORDS = "several words at random"
PATIENCE_SECONDS = 60.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeUnderTest]:
    """A node of one shard that knows version 1 of its cards' keys."""
    write_secret(tmp_path / "pass", WORDS.encode())
    with closing(SealedFileStore.create(tmp_path / "keys", WORDS, cost_log2=14)):
        pass
    add(tmp_path, 1)
    settings = {
        "cards.key_store": str(tmp_path / "keys"),
        "cards.passphrase_file": str(tmp_path / "pass"),
    }
    with launch_node(tmp_path / "node", shards=1, merchant=MERCHANT, settings=settings) as launched:
        yield launched


def add(place: Path, version: int) -> None:
    with closing(SealedFileStore.open(place / "keys", WORDS)) as store:
        key_id = KeyId(KeyPurpose.VERIFICATION, MERCHANT, version)
        store.add(key_id, issuer(Domain.VERIFICATION, version).key, created_ms=version)


async def test_keys_that_were_rotated_meanwhile_are_a_restarted_shards_too(
    node: NodeUnderTest, tmp_path: Path
) -> None:
    wallet, (member,) = Wallet(issuer_keys(2), seeded(5)), list(shoppers.members(1, seed=31))
    chip = wallet.make(Profile.NTAG424, member.card)
    async with Staff(node.addresses.serving, node.issue(Role.STAFF, "maryam")) as staff:
        await staff.enrol(member)
        await staff.note_card(member.card, chip)
    certificate = node.issue(Role.TILL, "till-1", store="north")
    async with Till(node.addresses.serving, certificate) as till:

        async def named() -> str:
            """Why the card's tap is refused; empty where it is taken."""
            try:
                await till.identify(wallet.shown(member.card))
            except Refused as refused:
                return str(refused.refusal.metadata["card"])
            return ""

        assert await named() == "foreign_card", "the node has version 1 alone"
        add(tmp_path, 2)
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while await named():
            assert time.monotonic() < give_up_at, "the node never takes the new keys"
            await asyncio.sleep(0.2)
        (store,) = stores(node)
        os.kill(owner_of(store), signal.SIGKILL)
        assert (await till.identify(wallet.shown(member.card))).account_id
