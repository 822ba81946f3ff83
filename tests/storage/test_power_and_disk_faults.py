"""Power cuts, flipped bits, full and broken disks: nothing acknowledged is lost, nothing damaged is served.

Samples of what `python -m simulators.faults.powerloss --all` and `bitflips --all` do in full.
"""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from simulators.faults import bitflips, powerloss, workload
from simulators.faults.bitflips import Outcome
from simulators.faults.disk import Disk, Step, Survival
from simulators.faults.powerloss import NoCompilerError

BATCHES = 12


def record(directory: Path, seed: int) -> list[Step]:
    try:
        return powerloss.record(directory, ["simulators.faults.workload", str(BATCHES), str(seed)])
    except NoCompilerError as missing:
        pytest.skip(str(missing))


@pytest.mark.slow
def test_after_a_power_cut_what_was_acknowledged_is_there_and_each_batch_is_whole_or_gone(
    tmp_path: Path,
) -> None:
    seed = 3
    steps = record(tmp_path, seed)
    # Around the syncs of the log is where it matters: each batch just before and just after it.
    points = [place for place in range(1, len(steps)) if steps[place].op == "S" or steps[place - 1].op == "S"]
    points = sorted({*points[:: max(1, len(points) // 9)], len(steps)})
    acknowledged = []

    def check(image: Path, number: int, point: int) -> None:
        powerloss.check_store(image, number, seed)
        acknowledged.append(number)

    cuts = powerloss.cut_power(tmp_path, steps, points, Survival, check, seed)
    assert cuts == len(acknowledged) == len(points) * len(Survival)
    assert max(acknowledged) >= BATCHES
    assert len(set(acknowledged)) > 3


def test_the_power_cuts_of_these_tests_would_show_a_batch_acknowledged_before_its_sync(
    tmp_path: Path,
) -> None:
    seed = 3
    steps = record(tmp_path, seed)
    unsynced = [step for step in steps if step.op != "S"]  # the same work by a store that never syncs
    with pytest.raises(Exception, match=r"lost|acknowledged|holds no store|head file|damaged"):
        powerloss.cut_power(
            tmp_path,
            unsynced,
            [len(unsynced)],
            [Survival.NOTHING],
            lambda image, number, point: powerloss.check_store(image, number, seed),
        )


def test_the_modelled_disk_keeps_what_was_synced_and_only_that(tmp_path: Path) -> None:
    import random

    root = tmp_path / "disk"
    disk = Disk(root, "ACK")
    steps = [
        Step("O", 1, 1, str(root).encode()),
        Step("C", 2, 0, f"{root}/a".encode()),
        Step("W", 2, 0, b"synced"),
        Step("S", 2, 0, b""),
        Step("D", 1, 0, b""),
        Step("W", 2, 6, b" not synced"),
        Step("C", 3, 0, f"{root}/b".encode()),
        Step("W", 3, 0, b"synced, but its name is not"),
        Step("S", 3, 0, b""),
        Step("R", 0, 0, f"{root}/a\0{root}/c".encode()),
    ]
    for step in steps:
        disk.apply(step)
    images = {}
    for survival in (Survival.NOTHING, Survival.EVERYTHING):
        disk.cut(tmp_path / survival, survival, random.Random(1))
        images[survival] = {path.name: path.read_bytes() for path in (tmp_path / survival).iterdir()}
    assert images[Survival.NOTHING] == {"a": b"synced"}
    assert images[Survival.EVERYTHING] == {"c": b"synced not synced", "b": b"synced, but its name is not"}


@pytest.mark.slow
def test_a_flipped_bit_anywhere_is_detected_and_never_served(tmp_path: Path) -> None:
    store = bitflips.make_store(tmp_path, seed=5)
    chosen = [
        flip
        for part, count in (("log", 24), ("table", 16), ("manifest", 6), ("head", 8))
        for flip in bitflips.flips(store, bitflips.parts(store)[part], count, seed=5)
    ]
    outcomes = Counter(outcome for _, outcome in bitflips.run(store, chosen, tmp_path, seed=5))
    assert outcomes[Outcome.SERVED] == 0
    assert outcomes[Outcome.HUNG] == 0
    assert outcomes[Outcome.REFUSED] > 40
    assert outcomes[Outcome.MENDED] >= 8
    assert sum(outcomes.values()) == len(chosen)


def acknowledged(ack: Path) -> int:
    numbers = ack.read_bytes().split()
    return int(numbers[-1]) if numbers else 0


def whole_after(directory: Path, ack: Path, seed: int) -> int:
    """What the store holds when the disk is well again: at least what was acknowledged, in whole batches."""
    opened = workload.open_it(directory)
    try:
        return workload.check(opened.store, acknowledged(ack), seed)
    finally:
        opened.close()


FAULTY = """
import os, resource, signal, sys
from pathlib import Path
from simulators.faults import workload

if sys.argv[4] != "-":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    workload.SMALL = workload.RocksOptions(block_cache_bytes=1 << 20)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
try:
    workload.run(Path(sys.argv[1]), Path(sys.argv[2]), 200, int(sys.argv[3]))
except workload.StoreFailed as failure:  # at a start
    print(failure)
sys.stdout.flush()
os._exit(0)
"""


def test_a_disk_that_takes_no_more_stops_the_store_with_a_clear_message_and_loses_nothing(
    tmp_path: Path,
) -> None:
    directory, ack = tmp_path / "store", tmp_path / "ACK"
    command = [sys.executable, "-c", FAULTY, str(directory), str(ack), "1", str(300_000)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert "failed" in done.stdout
    assert "Everything acknowledged before is kept" in done.stdout
    assert "free space" in done.stdout
    assert 0 < acknowledged(ack) < 200
    assert whole_after(directory, ack, 1) < 200


@pytest.mark.parametrize(
    ("fault", "count"),
    [
        ("VAFA_FAIL_SYNC_AT", 60),
        ("VAFA_FAIL_SYNC_AT", 75),
        ("VAFA_FAIL_SYNC_AT", 111),
        ("VAFA_FAIL_WRITE_AT", 111),
        ("VAFA_FAIL_WRITE_AT", 160),
        ("VAFA_FAIL_WRITE_AT", 222),
    ],
)
def test_an_io_error_stops_the_store_and_nothing_it_acknowledged_is_lost(
    tmp_path: Path, fault: str, count: int
) -> None:
    root, ack = tmp_path / "root", tmp_path / "ACK"
    root.mkdir()
    script = tmp_path / "faulty.py"
    script.write_text(FAULTY)
    try:
        library = powerloss.build_recorder(tmp_path)
    except NoCompilerError as missing:
        pytest.skip(str(missing))
    environment = os.environ | {
        "LD_PRELOAD": str(library),
        "VAFA_RECORD_ROOT": str(root.resolve()),
        "VAFA_RECORD_LOG": str(tmp_path / "record"),
        fault: str(count),
    }
    command = [sys.executable, str(script), str(root.resolve() / "store"), str(ack), "1", "-"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, env=environment)
    assert "Everything acknowledged" in done.stdout
    assert 0 < acknowledged(ack) < 200
    assert whole_after(root / "store", ack, 1) <= 200
