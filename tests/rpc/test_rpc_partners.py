"""A node among partners: whom it links follows from the directory, and a new directory needs no restart."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from node.actors.directories import Directories
from node.coalition.directory import Directory, Key, Partner, PartnerStatus
from node.config import CoalitionSection
from node.identity.ca import Authority, new_authority
from node.ledger.refusals import Reason, Refused
from node.rpc.partners import Partners, peers_of
from node.storage.memory import MemoryStore
from node.telemetry import Figures
from node.wire.coalition_directory import DIRECTORY_LABEL, armoured
from node.wire.coalition_trust import KnownDirectories
from tests.peering.ends import Acting, carried, until
from tests.wire.coalition_parties import NOW_MS as PUBLISHED_MS
from tests.wire.coalition_parties import signer
from tests.wire.coalition_terms import OPERATOR, SOUND, next_version, published

NOW_MS = time.time_ns() // 1_000_000
AUTHORITIES = {name: new_authority(name, now_ms=NOW_MS) for name in ("nile", "saffron", "zagros")}
OTHER = signer(41)


def entry(name: str, address: str = "", **changes: Any) -> Partner:
    found = SOUND.partner(name)
    assert found is not None
    endpoints = (address,) if address else ()
    return replace(found, authority_pem=AUTHORITIES[name].certificate_pem, endpoints=endpoints, **changes)


def directory(*partners: Partner, version: int = 1, **changes: Any) -> Directory:
    return replace(SOUND, partners=partners, caps=(), version=version, publish_time_ms=NOW_MS, **changes)


class Node:
    """What a node has towards its partners."""

    def __init__(self, name: str, listen: str = "127.0.0.1:0", file: str = "", period: int = 3600) -> None:
        self.name = name
        self.directories = Directories(MemoryStore())
        self.acting = Acting()
        section = CoalitionSection(peer_listen=listen, directory_file=file, directory_refresh_seconds=period)
        authority: Authority = AUTHORITIES[name]
        self.partners = Partners(name, authority, section, self.directories, self.acting, Figures())

    def adopt(self, data: bytes, key: str = "") -> KnownDirectories | Refused:
        return self.directories.adopt(data, NOW_MS, key)

    @property
    def version(self) -> int:
        return self.directories.known.newest.version if self.directories.known else 0


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    try:
        for node in nodes:
            await node.partners.start()
        yield
    finally:
        for node in nodes:
            await node.partners.stop()


async def test_nodes_talk_once_both_follow_the_directory_and_newcomers_without_a_restart() -> None:
    nile, saffron, zagros = Node("nile"), Node("saffron", listen=""), Node("zagros")
    async with running(nile, saffron, zagros):
        one = published(directory(entry("nile", nile.partners.address), entry("saffron")))
        for node in (nile, saffron):
            assert isinstance(node.adopt(one, OPERATOR.public_uri), KnownDirectories)
        await until(lambda: nile.partners.links.connected("saffron"))
        assert await nile.partners.links.send("saffron", carried("saffron", "سلام"))
        await until(lambda: saffron.acting.came == [("nile", "سلام")])
        two = directory(
            entry("nile", nile.partners.address), entry("saffron"), entry("zagros", zagros.partners.address),
            version=2,
        )  # fmt: skip
        for node in (nile, saffron):
            node.adopt(published(two))
        zagros.adopt(published(two), OPERATOR.public_uri)
        await until(lambda: zagros.partners.links.connected("saffron"))
        await until(lambda: nile.partners.links.connected("zagros"))
        assert nile.partners.links.connected("saffron")


async def test_a_directory_is_kept_and_followed_after_a_restart() -> None:
    store = MemoryStore()
    first = Directories(store)
    first.adopt(published(), PUBLISHED_MS, OPERATOR.public_uri)
    first.adopt(published(next_version()), PUBLISHED_MS + 60_000)
    again = Directories(store)
    assert again.known is not None
    assert first.known is not None
    assert [one.data for one in again.known.accepted] == [one.data for one in first.known.accepted]
    assert again.accepted_ms == first.accepted_ms


async def test_a_newer_file_is_taken_into_use_and_a_forged_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "coalition.directory"
    node = Node("nile", listen="", file=str(file))
    one = directory(entry("nile"), entry("saffron"))
    node.adopt(published(one), OPERATOR.public_uri)
    refresh = node.partners._refresh
    for content in (
        b"\xff\xfe",
        b"nonsense",
        armoured(DIRECTORY_LABEL, published(next_version(one), OTHER)).encode(),
    ):
        file.write_bytes(content)
        await refresh.look()
        assert node.version == 1
    file.write_text(armoured(DIRECTORY_LABEL, published(next_version(one))))
    await refresh.look()
    assert node.version == 2
    await node.partners.stop()


async def test_a_partner_hands_its_newer_directory_over() -> None:
    nile, saffron = Node("nile"), Node("saffron", listen="", period=5)
    async with running(nile, saffron):
        one = directory(entry("nile", nile.partners.address), entry("saffron"))
        for node in (nile, saffron):
            node.adopt(published(one), OPERATOR.public_uri)
        await until(lambda: saffron.partners.links.connected("nile"))
        nile.adopt(published(next_version(one, operator_keys=(Key(OTHER.public_uri, 0),))))
        await saffron.partners._refresh.look()
        assert saffron.version == 2
        nile.adopt(published(next_version(next_version(one)), OTHER))  # the operator has changed its key
        await saffron.partners._refresh.look()
        assert saffron.version == 3


async def test_a_node_that_was_down_follows_the_newer_directory_soon_after_its_links_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.peering.refresh.ALONE_SECONDS", 0.1)
    nile, saffron = Node("nile"), Node("saffron", listen="", period=3600)
    async with running(nile):
        one = directory(entry("nile", nile.partners.address), entry("saffron"))
        for node in (nile, saffron):
            node.adopt(published(one), OPERATOR.public_uri)
        nile.adopt(published(next_version(one)))
        async with running(saffron):
            await until(lambda: saffron.version == 2)


def test_whoever_left_stays_linked_until_all_is_finished_and_the_node_itself_is_no_partner() -> None:
    left = entry("saffron", status=PartnerStatus.LEFT)
    known = _known(directory(entry("nile", relay_partner_id="zagros"), left))
    peers = peers_of(known, "nile")
    assert set(peers.partners) == {"saffron"}
    assert peers.own_relay_id == "zagros"
    assert peers_of(None, "nile").partners == {}


def _known(wanted: Directory) -> KnownDirectories:
    directories = Directories(MemoryStore())
    found = directories.adopt(
        published(replace(wanted, partners=(*wanted.partners, entry("zagros")))), NOW_MS, OPERATOR.public_uri
    )
    assert isinstance(found, KnownDirectories)
    newest = found.accepted[0]
    return KnownDirectories([replace(newest, directory=wanted)])


@pytest.mark.parametrize(
    ("data", "key", "problem"),
    [
        (published(), "", "operator's key"),
        (published(), OTHER.public_uri, "not the operator's key"),
        (b"garbage", OPERATOR.public_uri, "not taken into use"),
    ],
)
def test_the_first_directory_says_what_it_lacks(data: bytes, key: str, problem: str) -> None:
    directories = Directories(MemoryStore())
    found = directories.adopt(data, PUBLISHED_MS, key)
    assert isinstance(found, Refused)
    assert found.reason is Reason.INVALID_ARGUMENT
    assert problem in found.message
    assert directories.known is None
