"""What a start does with a damaged, torn or incomplete store: refuse it unchanged, or cut the unsynced."""

import random
import shutil
from pathlib import Path

import pytest

from node.storage import wal
from node.storage.crc32c import crc32c, one_bit_apart, unmask
from node.storage.recovery import TORN_DIRECTORY
from node.storage.rocks import RocksOptions, RocksStore
from node.storage.store import Batch, StoreBehindHead, StoreCorrupt, StoreError, StoreForeign, StoreLocked

CREATE = RocksOptions(create=True)


def batch(number: int, size: int = 100) -> Batch:
    made = Batch()
    made.put(b"key%d" % number, b"v" * size)
    made.put(b"last", b"%d" % number)
    return made


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A store whose process was killed: batches 1 to 3 synced one by one, 4 written and not synced."""
    store = RocksStore(tmp_path / "live", CREATE)
    for number in (1, 2, 3):
        store.write(batch(number))
        store.sync()
    store.write(batch(4, 70_000))
    shutil.copytree(tmp_path / "live", tmp_path / "db")
    store.close()
    return tmp_path / "db"


def log_of(directory: Path) -> Path:
    return wal.log_files(directory)[-1]


def spans(path: Path) -> list[tuple[int, int]]:
    return [(record.start, record.end) for record in wal.records(path.read_bytes())]


def flip(path: Path, offset: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


def snapshot(directory: Path) -> dict[str, bytes]:
    """Every file that holds data. OWNER is the lock's, rocksdict-config.json says raw mode, LOG is prose."""
    return {
        path.name: path.read_bytes()
        for path in directory.iterdir()
        if path.is_file() and path.name != "rocksdict-config.json" and not path.name.startswith("LOG")
    } | {"OWNER": b""}


def last(directory: Path, at_least: int = 0) -> tuple[bytes | None, str | None]:
    store = RocksStore(directory, at_least=at_least)
    try:
        return store.get(b"last"), store.recovered
    finally:
        store.close()


def test_a_killed_process_loses_nothing_that_the_disk_has(killed: Path) -> None:
    assert last(killed) == (b"4", None)


@pytest.mark.parametrize("kept", [1, 6, 7, 30, 32_000, 33_000, 69_000])
def test_a_batch_torn_by_a_power_cut_is_dropped_whole_and_kept_aside(killed: Path, kept: int) -> None:
    log = log_of(killed)
    start = spans(log)[3][0]
    data = log.read_bytes()
    log.write_bytes(data[: start + kept])
    value, note = last(killed, at_least=3)
    assert value == b"3"
    assert note is not None
    assert "behind batch 3" in note
    assert [path.read_bytes() for path in (killed / TORN_DIRECTORY).iterdir()] == [data[start : start + kept]]
    assert last(killed, at_least=3) == (b"3", None)


@pytest.mark.parametrize("page", range(8))
def test_a_batch_with_a_page_that_never_reached_the_disk_is_dropped_whole(killed: Path, page: int) -> None:
    log = log_of(killed)
    start, end = spans(log)[3]
    data = bytearray(log.read_bytes())
    first = (start // 4096 + 1) * 4096 + page * 8192
    assert first < end
    data[first : first + 4096] = bytes(len(data[first : first + 4096]))
    log.write_bytes(data)
    assert last(killed, at_least=3)[0] == b"3"


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("place", ["checksum", "length", "type", "number", "value"])
def test_a_bit_flipped_in_a_synced_batch_is_refused_and_nothing_is_changed(
    killed: Path, number: int, place: str
) -> None:
    log = log_of(killed)
    start = spans(log)[number - 1][0]
    offset = {"checksum": 1, "length": 4, "type": 6, "number": 7 + 12 + 5 + 7, "value": 60}[place]
    flip(log, start + offset, 2)
    before = snapshot(killed)
    with pytest.raises(StoreCorrupt) as refused:
        RocksStore(killed)
    assert "nothing was changed" in str(refused.value)
    assert snapshot(killed) == before


def test_a_bit_flipped_in_the_last_synced_batch_is_told_from_a_tear_without_any_head(killed: Path) -> None:
    log = log_of(killed)
    start, end = spans(log)[2]
    log.write_bytes(log.read_bytes()[:end])  # batch 4 never came
    whole = log.read_bytes()
    for offset in [*range(start, start + 20), *range(start + 20, end, 9)]:
        for bit in (0, 5):
            log.write_bytes(whole)
            flip(log, offset, bit)
            with pytest.raises(StoreCorrupt):
                RocksStore(killed)


def test_a_synced_batch_with_a_garbled_sector_is_told_from_a_tear_by_the_batch_behind_it(
    killed: Path,
) -> None:
    log = log_of(killed)
    start, end = spans(log)[2]
    data = bytearray(log.read_bytes())
    data[start + 45 : end - 10] = bytes(end - 10 - start - 45)
    log.write_bytes(data)
    before = snapshot(killed)
    with pytest.raises(StoreCorrupt, match=r"batch 3 .* which was synced"):
        RocksStore(killed)
    assert snapshot(killed) == before


def test_a_torn_log_whose_batches_are_in_the_tables_loses_nothing_and_refuses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "db"
    store = RocksStore(path, CREATE)
    for number in (1, 2):
        store.write(batch(number))
        store.sync()
    old = log_of(path)
    torn = old.read_bytes()[:-20]
    store.close()  # writes the tables
    assert not old.exists()
    old.write_bytes(torn)
    assert last(path, at_least=2) == (b"2", None)
    store = RocksStore(path)
    store.write(batch(3))
    store.sync()
    shutil.copytree(path, tmp_path / "killed")
    store.close()
    (tmp_path / "killed" / old.name).write_bytes(torn)
    assert last(tmp_path / "killed", at_least=3) == (b"3", None)


def test_a_log_that_ends_before_its_head_is_refused_and_nothing_is_changed(killed: Path) -> None:
    log = log_of(killed)
    log.write_bytes(log.read_bytes()[: spans(log)[1][1]])  # cut exactly between two batches
    before = snapshot(killed)
    with pytest.raises(StoreBehindHead, match="the last 1 of 3 synced batches"):
        RocksStore(killed, at_least=3)
    assert snapshot(killed) == before


def test_a_log_that_is_gone_is_refused_and_can_be_put_back(killed: Path, tmp_path: Path) -> None:
    log = log_of(killed)
    log.rename(tmp_path / log.name)
    with pytest.raises(StoreBehindHead, match="put them back"):
        RocksStore(killed, at_least=3)
    (tmp_path / log.name).rename(log)
    assert last(killed, at_least=3)[0] == b"4"


def test_batches_missing_between_tables_and_log_are_refused_even_when_the_end_is_there(
    tmp_path: Path,
) -> None:
    store = RocksStore(tmp_path / "live", CREATE)
    store.write(batch(1))
    store.sync()
    shutil.copytree(tmp_path / "live", tmp_path / "db")  # before batch 2
    store.write(batch(2))
    store.close()  # writes the tables
    store = RocksStore(tmp_path / "live")
    store.write(batch(3))
    store.sync()
    newer = log_of(tmp_path / "live").read_bytes()
    store.close()
    log = log_of(tmp_path / "db")
    (log.parent / f"{int(log.stem) + 50:06}.log").write_bytes(newer)
    with pytest.raises(StoreCorrupt, match="lacks batches 2 to 2"):
        RocksStore(tmp_path / "db")


def test_a_damaged_table_file_is_refused_at_the_start_or_when_it_is_read(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "db", CREATE)
    many = Batch()
    for number in range(5_000):
        many.put(b"%06d" % number, b"value %d" % number)
    store.write(many)
    store.close()
    table = next((tmp_path / "db").glob("*.sst"))
    whole = table.read_bytes()
    flip(table, len(whole) // 3)
    store = RocksStore(tmp_path / "db")
    with pytest.raises(StoreCorrupt):
        list(store.scan(b"0", b"9"))
    with pytest.raises(StoreCorrupt):
        list(store.scan(b"0", b"9", reverse=True))
    right, refusals = 0, []
    for number in range(5_000):
        try:
            right += store.get(b"%06d" % number) == b"value %d" % number
        except StoreCorrupt as refused:
            refusals.append(str(refused))
    store.close()
    assert right + len(refusals) == 5_000
    assert 0 < len(refusals) < 1_000
    table.write_bytes(whole[:-10])
    with pytest.raises(StoreCorrupt):
        RocksStore(tmp_path / "db")


def test_a_type_that_sends_rocksdb_into_an_endless_loop_never_reaches_it(killed: Path) -> None:
    log = log_of(killed)
    flip(log, spans(log)[1][0] + 6, 2)  # "full" becomes "recyclable full"
    with pytest.raises(StoreCorrupt):
        RocksStore(killed)


@pytest.mark.parametrize("content", [b"", b"MANIFEST-000005", b"MANIFEST-999999\n", b"\xff" * 16])
def test_a_current_file_that_names_no_manifest_is_refused(killed: Path, content: bytes) -> None:
    (killed / "CURRENT").write_bytes(content)
    with pytest.raises(StoreCorrupt, match="CURRENT"):
        RocksStore(killed)


def test_a_directory_without_a_store_is_refused_and_stays_empty(tmp_path: Path) -> None:
    with pytest.raises(StoreForeign, match="holds no store"):
        RocksStore(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_never_made_over_another(killed: Path) -> None:
    with pytest.raises(StoreForeign, match="already holds a store"):
        RocksStore(killed, CREATE)
    assert last(killed)[0] == b"4"


def test_a_second_owner_is_refused_until_the_first_has_closed(killed: Path) -> None:
    first = RocksStore(killed)
    with pytest.raises(StoreLocked, match="in use"):
        RocksStore(killed)
    first.close()
    assert last(killed)[0] == b"4"


def test_what_was_deleted_can_be_made_to_leave_the_disk(tmp_path: Path) -> None:
    chance = random.Random(1)
    secret = chance.randbytes(64)
    path = tmp_path / "db"

    def on_disk() -> bool:
        return any(secret[8:40] in file.read_bytes() for file in path.iterdir() if file.is_file())

    store = RocksStore(path, CREATE)
    made = Batch()
    made.put(b"secret", secret)
    for number in range(100):
        made.put(b"t%d" % number, chance.randbytes(64))
    store.write(made)
    store.close()
    assert on_disk()
    store = RocksStore(path)
    gone = Batch()
    gone.delete(b"secret")
    for number in range(100, 200):
        gone.put(b"t%d" % number, chance.randbytes(64))
    store.write(gone)
    store.forget_deleted(b"s", b"t")
    assert store.get(b"secret") is None
    store.close()
    assert not on_disk()


def test_every_error_says_what_happened_what_was_kept_and_what_to_do() -> None:
    error = StoreError("The disk is full.", "Nothing was lost.", "Free space.")
    assert str(error) == "The disk is full. Nothing was lost. Free space."


def test_checksums_are_those_of_the_standard_and_know_one_flipped_bit() -> None:
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"6789", crc32c(b"12345")) == crc32c(b"123456789") == 0xE3069283
    masked = ((0x12345678 >> 15) | (0x12345678 << 17)) + 0xA282EAD8 & 0xFFFFFFFF
    assert unmask(masked) == 0x12345678
    data = bytes(range(100))
    for place in (0, 50, 99):
        wrong = bytearray(data)
        wrong[place] ^= 8
        assert one_bit_apart(len(data), crc32c(data), crc32c(bytes(wrong)))
        wrong[place - 3] ^= 1
        assert not one_bit_apart(len(data), crc32c(data), crc32c(bytes(wrong)))
