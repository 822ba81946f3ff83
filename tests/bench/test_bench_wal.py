"""The raw limit writes what the node wrote: the batches come back out of a live store's log exactly."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from rocksdict import Options, Rdict, WriteBatch

from bench.raw import batches_of_run, measure
from bench.wal import UnknownOperation, parse_batch, read_store
from node.storage.keyspace import receipt_key, request_key

_Written = list[tuple[list[tuple[bytes, bytes]], list[tuple[bytes, ...]]]]


@pytest.fixture
def stores() -> Iterator[list[Rdict]]:
    """Stores that stay open until the test ends: a store that is closed empties its log."""
    opened: list[Rdict] = []
    yield opened
    for store in opened:
        store.close()


def _write(directory: Path, written: _Written) -> Rdict:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    store = Rdict(str(directory), options)
    for puts, deletes in written:
        batch = WriteBatch(raw_mode=True)
        for key, value in puts:
            batch.put(key, value)
        for ends in deletes:
            if len(ends) == 1:
                batch.delete(ends[0])
            else:
                batch.delete_range(ends[0], ends[1])
        store.write(batch)
    store.flush_wal(True)
    return store


def _random_batches(count: int) -> _Written:
    chance = random.Random(7)
    # Up to 100,000 bytes a value: a batch then spans several blocks of the log.
    return [
        (
            [
                (chance.randbytes(20), chance.randbytes(chance.choice((0, 1, 127, 128, 5_000, 100_000))))
                for _ in range(chance.randrange(1, 8))
            ],
            [(b"gone",), (b"from", b"to")][: chance.randrange(3)],
        )
        for _ in range(count)
    ]


def test_batches_read_back_from_a_live_store_are_those_that_were_written(
    tmp_path: Path, stores: list[Rdict]
) -> None:
    written = _random_batches(80)
    stores.append(_write(tmp_path, written))
    found = [(list(batch.puts), list(batch.deletes)) for batch in read_store(tmp_path)]
    assert found == written


def test_reading_ends_quietly_where_the_last_batch_is_not_yet_whole(
    tmp_path: Path, stores: list[Rdict]
) -> None:
    written = _random_batches(30)
    stores.append(_write(tmp_path / "live", written))
    [log] = (tmp_path / "live").glob("*.log")
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / log.name).write_bytes(log.read_bytes()[:-1])
    assert [list(batch.puts) for batch in read_store(copy)] == [puts for puts, _ in written[:-1]]


def test_an_operation_that_is_not_known_is_refused_and_not_skipped() -> None:
    with pytest.raises(UnknownOperation):
        parse_batch(bytes(12) + b"\x02\x01k\x01v")


def _accrual(partition: int, tag: str, number: int) -> list[tuple[bytes, bytes]]:
    request_id = f"{tag}-{number}"
    return [
        (request_key(partition, "store-1/till-1", request_id), b"answer"),
        (f"\x01\x03journal of {request_id}".encode(), b"entry"),
        (b"\x00account", b"state" * 40),
    ]


def test_a_run_is_told_from_others_by_its_tag_and_counted_by_its_requests(
    tmp_path: Path, stores: list[Rdict]
) -> None:
    other: _Written = [(_accrual(1, "other", number), []) for number in range(5)]
    one: _Written = [(_accrual(1, "mine", 0) + _accrual(2, "mine", 1), []), (_accrual(1, "mine", 2), [])]
    # A receipt that another shard claims, in a batch of its own: part of the run, but no accrual.
    two: _Written = [([(receipt_key(3, bytes(16)), b"mine-0")], [])]
    stores += [
        _write(tmp_path / "a", other + one),
        _write(tmp_path / "b", two),
        _write(tmp_path / "c", other),
    ]
    runs = batches_of_run(tmp_path, b"mine")
    assert [(run.accruals, len(run.batches)) for run in runs] == [(3, 2), (0, 1)]


def test_the_raw_limit_counts_what_it_wrote(tmp_path: Path, stores: list[Rdict]) -> None:
    for name in ("a", "b"):
        batches: _Written = [(_accrual(1, "mine", number), [(b"x",)]) for number in range(20)]
        stores.append(_write(tmp_path / name, batches))
    limit = measure(batches_of_run(tmp_path, b"mine"), tmp_path)
    assert (limit.accruals, limit.batches, limit.accruals_per_batch) == (40, 40, 1.0)
    assert limit.records_per_accrual == 4
    assert limit.bytes_per_accrual > 200
    assert limit.per_second > 0
