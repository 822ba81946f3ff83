"""A key store that changes is taken up while the node runs, and one that is broken changes nothing."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from cards.keys import Domain
from cards.keystore import KeyId, KeyPurpose, SealedFileStore
from node.actors import card_keys
from node.actors.card_keys import CardKeys
from node.actors.card_spec import SPEC, CardsSpec, encode
from node.config_template import CardsSection
from node.identity.keys import write_secret
from node.proto.vafa.coalition.v1 import envelope_pb2
from tests.actors.card_tills import MERCHANT, a_shop_with, card_reason, converse, verification_key
from tests.cards.bureau import KINDS, NTAG, Kind, issuer

WORDS = "several words at random"


class Told:
    """A shard that notes what it is told."""

    def __init__(self) -> None:
        self.versions: list[list[int]] = []

    async def take_cards(self, cards: bytes) -> None:
        self.versions.append([version for version, _ in SPEC.decode(cards).keys])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_secret(tmp_path / "pass", WORDS.encode())
    with closing(SealedFileStore.create(tmp_path / "keys", WORDS, cost_log2=14)):
        pass
    add(tmp_path, 1)
    return tmp_path


def add(place: Path, version: int) -> None:
    with closing(SealedFileStore.open(place / "keys", WORDS)) as store:
        key_id = KeyId(KeyPurpose.VERIFICATION, MERCHANT, version)
        store.add(key_id, issuer(Domain.VERIFICATION, version).key, created_ms=version)


def section(place: Path) -> CardsSection:
    return msgspec.convert(
        {"key_store": str(place / "keys"), "passphrase_file": str(place / "pass")}, CardsSection
    )


async def test_new_keys_reach_every_shard_and_nothing_else_does(place: Path) -> None:
    keys, shards = CardKeys(MERCHANT, section(place)), [Told(), Told()]
    some: Any = shards
    assert not await keys.look(some)
    add(place, 2)
    assert await keys.look(some)
    assert not await keys.look(some)
    assert [shard.versions for shard in shards] == [[[2, 1]], [[2, 1]]]
    assert [version for version, _ in SPEC.decode(keys.spec).keys] == [2, 1], "a shard that starts gets them"


async def test_a_store_that_cannot_be_opened_leaves_the_keys_as_they_are(place: Path) -> None:
    keys, shard = CardKeys(MERCHANT, section(place)), Told()
    some: Any = [shard]
    whole = (place / "keys").read_bytes()
    (place / "keys").write_bytes(whole[:-1] + bytes((whole[-1] ^ 1,)))
    with structlog.testing.capture_logs() as said:
        assert not await keys.look(some)
        assert not await keys.look(some)
    assert [(one["event"], one["log_level"]) for one in said] == [("card_keys_unusable", "error")], "once"
    (place / "keys").rename(place / "away")
    assert not await keys.look(some)
    assert shard.versions == []
    (place / "away").rename(place / "keys")
    (place / "keys").write_bytes(whole)
    add(place, 2)
    assert await keys.look(some)


async def test_what_is_logged_of_new_keys_holds_none(place: Path) -> None:
    keys: Any = CardKeys(MERCHANT, section(place))
    add(place, 2)
    with structlog.testing.capture_logs() as said:
        assert await keys.look([Told()])
    assert said[0]["versions"] == [2, 1]
    assert issuer(Domain.VERIFICATION, 2).key.raw.hex() not in repr(said)


async def test_a_node_without_a_key_store_looks_at_nothing() -> None:
    keys: Any = CardKeys(MERCHANT, CardsSection())
    assert keys.spec == b""
    assert not await keys.look([Told()])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_a_conversation_goes_on_while_keys_are_rotated(kind: Kind) -> None:
    actors, bureau = await a_shop_with(kind)
    rotated = CardsSpec(MERCHANT, tuple((one, verification_key(one).key.raw) for one in (2, 1)), 20, 30)

    def pipe(apdu: bytes) -> bytes:
        for shard in actors.shards:
            shard.take_cards(rotated)
        return bureau.card.transmit(apdu)

    assert isinstance(await converse(actors, bureau, pipe=pipe), envelope_pb2.MemberProof)


async def test_keys_that_are_two_rotations_old_are_no_longer_taken() -> None:
    actors, bureau = await a_shop_with(NTAG)
    newer = CardsSpec(MERCHANT, tuple((one, verification_key(one).key.raw) for one in (3, 2)), 20, 30)
    for shard in actors.shards:
        shard.take_cards(newer)
    assert card_reason(await converse(actors, bureau)) == "unknown_key_version"


async def test_a_module_that_tells_nobody_of_new_keys_is_asked_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = [0]

    def spec(merchant: str, _: CardsSection) -> bytes:
        read[0] += 1
        key = (read[0], verification_key(read[0]).key.raw)
        return encode(CardsSpec(merchant, (key,)))

    monkeypatch.setattr(card_keys, "cards_spec", spec)
    section = msgspec.convert({"key_store": "pkcs11:token=cards?module-path=/nowhere.so"}, CardsSection)
    keys, shard = CardKeys(MERCHANT, section), Told()
    some: Any = [shard]
    rounds = [await keys.look(some) for _ in range(2 * card_keys.ROUNDS_WITHOUT_FILE)]
    assert sum(rounds) == 2
    assert shard.versions == [[2], [3]]
