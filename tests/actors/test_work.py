"""What a batch of a shard reads is what it has written, before any of it is durable."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.actors.work import Work
from node.storage.memory import MemoryStore
from node.storage.store import Batch

KEYS = st.binary(min_size=1, max_size=1)
VALUES = st.binary(min_size=1, max_size=2)


@given(
    before=st.dictionaries(KEYS, VALUES),
    changes=st.lists(st.tuples(KEYS, st.one_of(st.none(), VALUES))),
    span=st.tuples(KEYS, KEYS),
    limit=st.integers(1, 8),
)
def test_a_scan_sees_what_the_batch_has_put_and_not_what_it_has_deleted(
    before: dict[bytes, bytes],
    changes: list[tuple[bytes, bytes | None]],
    span: tuple[bytes, bytes],
    limit: int,
) -> None:
    store, batch = MemoryStore(), Batch()
    for key, value in before.items():
        batch.put(key, value)
    store.write(batch)
    work, expected = Work(store, 0), dict(before)
    for key, changed in changes:
        if changed is None:
            work.delete(key)
            expected.pop(key, None)
        else:
            work.put(key, changed)
            expected[key] = changed
    start, end = min(span), max(span)
    wanted = [(key, expected[key]) for key in sorted(expected) if start <= key < end][:limit]
    assert list(work.scan(start, end, limit)) == wanted
    assert all(work.get(key) == expected.get(key) for key in {*before, *dict(changes)})
    work.commit()
    assert list(store.scan(start, end, limit=limit)) == wanted


def test_what_is_written_while_a_scan_is_read_does_not_change_it() -> None:
    work = Work(MemoryStore(), 0)
    for at in range(5):
        work.put(bytes((at + 1,)), b"v")
    read = []
    for key, _ in work.scan(b"\x01", b"\xff", 10):
        work.delete(key)
        work.put(bytes((key[0] + 100,)), b"v")
        read.append(key)
    assert read == [b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"]
