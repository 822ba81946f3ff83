"""No byte of a card key is told by a node that verifies: not in logs, reprs, answers, faults or the store."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from cards.keys import Purpose, card_key, issuer_wide_key
from cards.verification import SunEvidence, pack_evidence
from node.actors.card_desk import CardDesk
from node.actors.card_spec import SPEC, CardsSpec, encode
from node.actors.host import ShardSpec
from node.actors.settings import ShardSettings
from node.wire.commands import Op
from tests.actors.card_tills import MERCHANT, a_shop_with, converse, spend, verification_key
from tests.cards.bureau import KINDS, MASTER, NTAG, Kind
from tests.cards.tills import flipped, tap_of


def secrets_of(kind: Kind) -> list[str]:
    """Every key that a node could tell of, in hex."""
    issuer = verification_key()
    keys = [MASTER, issuer.key, card_key(issuer, Purpose.SALE, kind.identity())]
    keys += [issuer_wide_key(issuer, Purpose.TAP_META), card_key(issuer, Purpose.TAP_MAC, kind.identity())]
    return [key.raw.hex() for key in keys]


def assert_untold(said: str, kind: Kind) -> None:
    """Neither as hex nor as Python shows bytes; four bytes in a row are a find."""
    plain = said.replace(" ", "").lower()
    for key in secrets_of(kind):
        for at in range(0, len(key) - 7, 2):
            piece = bytes.fromhex(key[at : at + 8])
            assert key[at : at + 8] not in plain, f"4 bytes of a key, at {at // 2}"
            assert repr(piece)[2:-1].lower() not in plain


def test_a_told_key_would_be_found() -> None:
    raw = verification_key().key.raw
    for told in (raw.hex(" "), repr(raw[4:9])):
        with pytest.raises(AssertionError):
            assert_untold(told, NTAG)


def test_what_carries_the_keys_to_the_shards_shows_none() -> None:
    spec = CardsSpec(MERCHANT, ((1, verification_key().key.raw),))
    shard = ShardSpec(
        0,
        "data",
        b"s" * 16,
        1,
        ShardSettings("shop-1", "USD", "Asia/Tehran", 4),
        b"",
        b"m" * 32,
        cards=encode(spec),
    )
    desk = CardDesk(SPEC.decode(encode(spec)), "Asia/Tehran")
    assert_untold(repr(spec) + repr(shard) + repr(desk) + repr(vars(desk)), NTAG)
    assert SPEC.decode(encode(spec)) == spec


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_verifying_tells_no_key_whatever_comes_of_it(
    kind: Kind, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[Any] = []
    with structlog.testing.capture_logs() as logs:
        actors, bureau = await a_shop_with(kind)
        proof = await converse(actors, bureau)
        said.append(await spend(actors, proof))
        said.append(await converse(actors, bureau, pipe=lambda apdu: flipped(7)(bureau.card.transmit(apdu))))
        if kind is NTAG:
            said.append(await spend(actors, pack_evidence(SunEvidence(tap_of(bureau))), units=5))
        said += [repr(vars(shard._desk.cards)) for shard in actors.shards]
    stored = "".join(value.hex() for store in actors.stores for _, value in store.scan(b"", b"\xff" * 40))
    captured = capsys.readouterr()
    assert_untold(f"{said} {logs} {captured.out} {captured.err} {proof}", kind)
    assert_untold(stored, kind)


async def test_a_fault_while_verifying_is_kept_as_evidence_without_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    actors, bureau = await a_shop_with(NTAG)

    def faulty(*_: object, **__: object) -> None:
        raise RuntimeError(f"unforeseen {verification_key().key.raw.hex()}")

    monkeypatch.setattr("node.actors.card_desk.verify_sun", faulty)
    with structlog.testing.capture_logs() as logs:
        refused = await spend(actors, pack_evidence(SunEvidence(tap_of(bureau))), units=5, op=Op.REDEEM)
    assert refused.refusal is not None
    assert logs
    stored = "".join(repr(value) for store in actors.stores for _, value in store.scan(b"", b"\xff" * 40))
    assert_untold(f"{refused} {logs} {stored}", NTAG)
