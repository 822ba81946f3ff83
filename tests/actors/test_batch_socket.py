"""Batches beside Ray: in order, whole, and gone for certain when the shard goes with them in hand."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.actors.batch_socket import MAX_PATH_BYTES, BatchListener, BatchSender, fits
from node.actors.ports import ShardGone


class Shard:
    """What a listener applies: it says what it was given, backwards, and when it may."""

    def __init__(self, path: Path) -> None:
        self.applied: list[bytes] = []
        self.turn = threading.Event()
        self.turn.set()
        self.listener = BatchListener(path, self.apply)

    def apply(self, message: bytes) -> bytes:
        self.turn.wait()
        self.applied.append(message)
        return message[::-1]


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("s") / "shard-0"
    if not fits(place):
        pytest.skip("the directory for temporary files is too deep for the address of a Unix socket")
    return place


@pytest.fixture
def shard(path: Path) -> Iterator[Shard]:
    made = Shard(path)
    yield made
    made.turn.set()
    made.listener.close()


async def test_batches_are_applied_and_answered_in_the_order_in_which_they_were_sent(
    shard: Shard, path: Path
) -> None:
    sender = BatchSender(path)
    shard.turn.clear()
    sent = [b"batch %d" % number for number in range(50)]
    asked = [asyncio.create_task(sender.ask(message)) for message in sent]
    await asyncio.sleep(0)
    shard.turn.set()
    assert await asyncio.gather(*asked) == [message[::-1] for message in sent]
    assert shard.applied == sent
    sender.close()


@pytest.mark.parametrize("size", [0, 1, 1 << 18, 5_000_003])
async def test_a_batch_of_any_size_arrives_whole(shard: Shard, path: Path, size: int) -> None:
    sender = BatchSender(path)
    message = os.urandom(size)
    assert await sender.ask(message) == message[::-1]
    sender.close()


async def test_a_caller_who_gives_up_does_not_get_another_ones_answer_later(shard: Shard, path: Path) -> None:
    sender = BatchSender(path)
    await sender.ask(b"connected")
    shard.turn.clear()
    first = asyncio.create_task(sender.ask(b"first"))
    second = asyncio.create_task(sender.ask(b"second"))
    await asyncio.sleep(0)
    first.cancel()
    shard.turn.set()
    assert await second == b"dnoces"
    sender.close()


async def test_where_no_shard_listens_the_batch_was_not_taken(path: Path) -> None:
    with pytest.raises(ShardGone):
        await BatchSender(path).ask(b"anything")


async def test_batches_in_hand_are_unknown_when_the_shard_goes_and_the_next_one_is_asked(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dying:
        dying.bind(str(path))
        dying.listen(1)
        sender = BatchSender(path)
        asked = [asyncio.create_task(sender.ask(message)) for message in (b"one", b"two")]
        connection, _ = await asyncio.to_thread(dying.accept)
        await asyncio.to_thread(connection.recv, 4)
        connection.close()
        assert [type(each) for each in await asyncio.gather(*asked, return_exceptions=True)] == [
            ShardGone
        ] * 2
    again = Shard(path)  # over the address that the dead one left behind
    assert await sender.ask(b"three") == b"eerht"
    assert again.applied == [b"three"]
    sender.close()
    again.listener.close()


async def test_a_shard_that_faults_leaves_nobody_waiting(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # where the fault would be printed

    def fault(message: bytes) -> bytes:
        raise RuntimeError("a fault that ended no process")

    BatchListener(path, fault)
    sender = BatchSender(path)
    for _ in range(2):  # the one that it had in hand, and one that comes after
        with pytest.raises(ShardGone):
            await sender.ask(b"anything")


async def test_a_listener_takes_the_next_gateway_when_one_has_gone(shard: Shard, path: Path) -> None:
    for number in range(3):
        sender = BatchSender(path)
        assert await sender.ask(b"%d" % number) == b"%d" % number
        sender.close()


def test_bytes_that_are_no_frame_end_that_connection_alone(shard: Shard, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(path))
        stranger.sendall(b"\xff\xff\xff\xff")
        assert stranger.recv(1) == b""
    assert not shard.applied


def test_a_path_that_no_socket_can_have_is_known_beforehand(tmp_path: Path) -> None:
    assert fits(Path("/tmp/short"))
    assert not fits(Path("/" + "é" * (MAX_PATH_BYTES // 2)))
