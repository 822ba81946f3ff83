"""A till's queue forgets nothing and invents nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.proto.vafa.pos.v1 import operation_pb2
from simulators.operations import OperationWriter
from simulators.purchases import card_identifier
from simulators.till_queue import QueueFull, TillQueue

MEMBER = card_identifier("4000123412341234")


def operations(count: int) -> list[operation_pb2.Operation]:
    write = OperationWriter()
    return [write.activity(MEMBER, f"visit-{number}") for number in range(count)]


def test_what_was_queued_is_there_after_a_restart_in_its_order(tmp_path: Path) -> None:
    queue = TillQueue(tmp_path / "queue")
    queued = operations(12)
    numbers = [queue.put(operation) for operation in queued]
    queue.remove(numbers[0])
    queue.remove(numbers[5])
    again = TillQueue(tmp_path / "queue")
    assert again.oldest(100) == queue.oldest(100)
    assert [operation for _, operation in again.oldest(100)] == queued[1:5] + queued[6:]


def test_a_number_is_not_given_twice_while_it_is_in_use(tmp_path: Path) -> None:
    first = TillQueue(tmp_path)
    numbers = [first.put(operation) for operation in operations(3)]
    first.remove(numbers[0])
    again = TillQueue(tmp_path)
    assert again.put(operations(1)[0]) not in numbers
    assert len(again) == 3


def test_an_operation_that_two_hands_settle_is_taken_out_once(tmp_path: Path) -> None:
    queue = TillQueue(tmp_path)
    first, second = (queue.put(operation) for operation in operations(2))
    queue.remove(first)
    queue.remove(first)
    assert [number for number, _ in TillQueue(tmp_path).oldest(9)] == [second]


def test_a_full_queue_takes_no_more_and_keeps_what_it_has() -> None:
    queue = TillQueue(capacity=2)
    kept = operations(2)
    for operation in kept:
        queue.put(operation)
    with pytest.raises(QueueFull):
        queue.put(operations(1)[0])
    assert [operation for _, operation in queue.oldest(10)] == kept


def test_a_power_cut_while_writing_leaves_the_others_readable(tmp_path: Path) -> None:
    queue = TillQueue(tmp_path)
    queue.put(operations(1)[0])
    (tmp_path / "000000000002.unfinished").write_bytes(b"\x0a\xff")
    assert len(TillQueue(tmp_path)) == 1


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff"], ids=["empty", "garbage"])
def test_a_file_that_is_no_operation_is_named_and_kept(tmp_path: Path, content: bytes) -> None:
    damaged = tmp_path / "000000000001.operation"
    damaged.write_bytes(content)
    with pytest.raises(ValueError, match="000000000001"):
        TillQueue(tmp_path)
    assert damaged.read_bytes() == content
