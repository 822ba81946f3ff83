"""What ends a shard's process: a store that fails, a bug outside any one account's business.

Nothing is answered that is not durable.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node.actors.host import FAULT_STATUS, ShardHost, ShardSpec
from node.actors.partition import Partition
from node.actors.settings import ShardSettings
from node.programme.default import starter_programme
from node.storage.meta import StoreIdentity, StoreKind, create_store
from node.storage.store import StoreError, StoreFailed
from node.wire.commands import AnswerKind, Command, Op, decode_answers, encode
from simulators.operations import OperationWriter, change_in
from tests.rpc.shop import sale

STORE_ID = bytes(16)


@pytest.fixture
def spec(tmp_path: Path) -> ShardSpec:
    """A shard with an empty store."""
    identity = StoreIdentity(STORE_ID, StoreKind.SHARD, "shop-1", 4)
    create_store(tmp_path / "shard", identity, hosted=range(4))
    programme = msgspec.structs.replace(starter_programme(2, name="shop"), version=1)
    return ShardSpec(
        number=0,
        directory=str(tmp_path / "shard"),
        store_id=STORE_ID,
        generation=1,
        settings=ShardSettings("shop-1", "USD", "Asia/Tehran", 4),
        programmes=msgspec.msgpack.encode((programme,)),
        master_key=bytes(32),
    )


class Aborted(BaseException):
    """Where the process would have ended."""


def end_here(fault: Exception) -> None:
    """Instead of the process's end."""
    raise Aborted(str(fault)) from fault


@pytest.fixture
def host(spec: ShardSpec) -> Iterator[ShardHost]:
    """The shard's host, whose process does not really end."""
    opened = ShardHost(spec, abort=end_here)
    yield opened
    opened.close()


def sales(count: int, partition: int = 0) -> bytes:
    """A batch of sales without a member."""
    write = OperationWriter()
    changes = [change_in(write.accrual(None, sale(100))) for _ in range(count)]
    return encode(
        [
            Command(
                Op.ACCRUE, partition, b"", b"", "north/till-1", "north", "", "", change.SerializeToString()
            )
            for change in changes
        ]
    )


def kinds(answers: bytes) -> list[int]:
    """What each answer is."""
    return [answer.kind for answer in decode_answers(answers)]


@pytest.mark.parametrize("step", ["write", "sync"])
def test_a_store_that_fails_ends_the_process_and_nothing_is_answered(
    host: ShardHost, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    assert kinds(host.apply(sales(3))) == [AnswerKind.DONE] * 3

    def fail(*arguments: Any) -> None:
        raise StoreFailed("The disk is full.", "Everything acknowledged is kept.", "Free space.")

    monkeypatch.setattr(host._store, step, fail)
    with pytest.raises(Aborted, match="The disk is full"):
        host.apply(sales(3))


def test_a_fault_outside_any_account_ends_the_process_and_nothing_of_the_batch_is_kept(
    spec: ShardSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = ShardHost(spec, abort=end_here)
    host.apply(sales(3))

    def save(partition: Partition, work: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(Partition, "save", save)
    with pytest.raises(Aborted):
        host.apply(sales(3))
    monkeypatch.undo()
    host.close()
    again = ShardHost(spec, abort=end_here)
    assert sum(again.sequences().values()) == 3
    again.close()


def test_a_message_that_is_no_batch_ends_the_process_rather_than_be_guessed_at(host: ShardHost) -> None:
    with pytest.raises(Aborted):
        host.apply(b"\xc1 no msgpack")


def test_a_fault_of_the_sweep_and_of_forgetting_ends_the_process_too(
    host: ShardHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise StoreFailed("An I/O error.", "Everything acknowledged is kept.", "Replace the disk.")

    monkeypatch.setattr(host._store, "scan", fail)
    for work in (host.sweep, lambda: host.forget_old_requests(b"")):
        with pytest.raises(Aborted, match="I/O error"):
            work()


def test_commands_for_a_partition_that_is_not_here_are_refused_and_the_others_done(host: ShardHost) -> None:
    elsewhere = sales(1, partition=9)
    both = encode([*msgspec.msgpack.decode(elsewhere), *msgspec.msgpack.decode(sales(1))])
    assert kinds(host.apply(both)) == [AnswerKind.REFUSED, AnswerKind.DONE]


def test_a_process_ends_also_where_its_last_words_find_no_room() -> None:
    script = "from node.actors.host import _end_process; _end_process(ZeroDivisionError())"
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", script],
            stderr=full,
            timeout=60,
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
    assert ended.returncode == FAULT_STATUS


def test_a_real_process_ends_with_its_own_status_and_says_why_and_what_to_do(
    spec: ShardSpec, tmp_path: Path
) -> None:
    """With a file size limit in the place of a full disk."""
    (tmp_path / "spec").write_bytes(msgspec.msgpack.encode(spec))
    script = (
        "import msgspec, resource, signal, sys\n"
        "from node.actors.host import ShardHost, ShardSpec\n"
        "from tests.actors.test_shard_host import sales\n"
        "spec = msgspec.msgpack.decode(open(sys.argv[1], 'rb').read(), type=ShardSpec)\n"
        "host = ShardHost(spec)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "for number in range(1, 10_000):\n"
        "    host.apply(sales(20))\n"
        "    print(20 * number, flush=True)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "spec")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.returncode == FAULT_STATUS, ended.stderr
    assert "vafa: a shard stops:" in ended.stderr
    assert "Everything acknowledged before is kept" in ended.stderr
    assert "free space" in ended.stderr.lower()
    acknowledged = int(ended.stdout.split()[-1])
    again = ShardHost(spec)
    try:
        assert sum(again.sequences().values()) >= acknowledged > 0
    except StoreError as wrong:  # pragma: no cover - what the promise forbids
        pytest.fail(str(wrong))
    finally:
        again.close()
