"""A store that is opened again has the bounds of memory and the filters of one that was made just now."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.storage.rocks import BLOCK_CACHE_BYTES, RocksOptions, RocksStore


def options_in_use(path: Path) -> str:
    """What RocksDB itself wrote down of how it runs."""
    return max(path.glob("OPTIONS-*")).read_text(encoding="utf-8")


@pytest.fixture
def again(tmp_path: Path) -> Path:
    """A store that was made, and closed."""
    path = tmp_path / "db"
    RocksStore(path, RocksOptions(create=True)).close()
    return path


def test_its_tables_have_filters_in_parts_that_the_cache_can_hold(again: Path) -> None:
    store = RocksStore(again)
    try:
        in_use = options_in_use(again)
    finally:
        store.close()
    assert "filter_policy=bloomfilter\n" in in_use
    assert "partition_filters=true" in in_use
    assert "index_type=kTwoLevelIndexSearch" in in_use


@pytest.mark.parametrize("size", [BLOCK_CACHE_BYTES, 5 * BLOCK_CACHE_BYTES])
def test_its_cache_is_as_large_as_is_asked_for(again: Path, size: int) -> None:
    store = RocksStore(again, RocksOptions(block_cache_bytes=size))
    try:
        assert store._db.property_value("rocksdb.block-cache-capacity") == str(size)
    finally:
        store.close()
