"""The breakdown of one accrual names every stage that the shard has, and adds up to the whole."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.actors import MEMORY_LEFT_SHARE, Row, _memory_bytes, _no_room_for
from bench.messages import AccrualMaker, card_number
from bench.plain_shard import CommandRefused, accruals, enrolments, insist, new_spec
from bench.rooms import BATCH_SIZES, STAGES, measure, stopwatch
from node.actors.host import ShardHost
from node.wire.commands import encode


def test_every_stage_takes_its_share_and_all_of_them_are_the_whole() -> None:
    stages = measure(lines=3, seconds=0.05)
    assert set(stages.by_size) == set(BATCH_SIZES)
    for spent in stages.by_size.values():
        named = [spent[name] for name, _, _ in STAGES]
        assert all(each > 0 for each in named)
        assert sum(named) + spent["everything else"] == pytest.approx(spent["the whole accrual"])
        assert spent["everything else"] > 0


def test_the_shard_is_as_it_was_after_a_measurement() -> None:
    before = [getattr(owner, attribute) for _, owner, attribute in STAGES]
    with stopwatch():
        inside = [getattr(owner, attribute) for _, owner, attribute in STAGES]
        assert not any(now is was for now, was in zip(inside, before, strict=True))
    assert [getattr(owner, attribute) for _, owner, attribute in STAGES] == before


def test_the_plain_shard_does_the_accruals_of_members_and_refuses_strangers(tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    shard = ShardHost(new_spec(tmp_path / "store"))
    assert [insist(shard.apply(message)) for message in enrolments(range(10), now_ms=now_ms)] == [10]
    maker = AccrualMaker([card_number(0)], occurred_ms=now_ms)
    assert insist(shard.apply(encode(accruals(maker, [1, 2, 3, 1])))) == 4
    with pytest.raises(CommandRefused, match="No member"):
        insist(shard.apply(encode(accruals(maker, [11]))))
    shard.close()


def _row(bytes_per_member: float, started_per_second: float) -> Row:
    return Row("Ray actors", 10, 10, started_per_second, bytes_per_member, 1_000.0)


def test_members_are_not_added_where_memory_or_time_would_not_suffice() -> None:
    total, available = _memory_bytes()
    spare = available - MEMORY_LEFT_SHARE * total
    assert _no_room_for(10, _row(spare / 100, 10.0), 60.0) == ""
    assert "memory" in _no_room_for(10, _row(spare, 10.0), 60.0)
    assert "time" in _no_room_for(10, _row(1.0, 10.0), 0.5)
