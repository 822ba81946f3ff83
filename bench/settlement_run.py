"""The phases of the settlement bench, each in a process of its own, so that time and memory are its own.

Merchants are shared out among as many processes as there are cores; each keeps one store, with the records
of its merchants' lanes as a shard keeps them.
"""

from __future__ import annotations

import hashlib
import os
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bench.settlement_records import COALITION, Coalition, LaneMaker, make_coalition, window_start
from node.proto.vafa.settlement.v1 import close_pb2
from node.settlement.closes import LanePart, LaneStart, PairNames, pair_close
from node.settlement.statement import WindowInput
from node.settlement.windows import terms_of
from node.storage.coalition_keys import Role, lane_record_key, lane_records_range
from node.storage.rocks import RocksOptions, RocksStore
from node.storage.store import Batch, Store
from node.wire.coalition import PAYLOAD_TYPE
from node.wire.coalition_store import LANE_ENTRY, LaneEntry
from node.wire.settlement import read_signed_close, signed_close_message
from node.wire.settlement_evidence import RecordSignatures
from node.wire.settlement_fields import parsed
from node.wire.settlement_publish import publish
from node.wire.settlement_scan import entry_of, lane_part
from node.wire.settlement_signing import close_problem, cosign_close, sign_close
from verifier.signatures import load_directory
from verifier.statement import verify

WINDOW = 1
BATCH_RECORDS = 2_000
PROGRESS_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a window is: each merchant's members shop at every other, in so many lanes a pair."""

    merchants: int
    lanes: int
    records: int
    sign_every: int = 10

    def lanes_of(self, worker: int, workers: int) -> Iterator[tuple[int, int, int, int]]:
        """(home, acquirer, lane, records) of the merchants that one worker has; together all of them."""
        pairs = self.merchants * (self.merchants - 1)
        per_lane, more = divmod(self.records, pairs * self.lanes)
        at = 0
        for home in range(self.merchants):
            for acquirer in range(self.merchants):
                for lane in range(self.lanes if home != acquirer else 0):
                    count = per_lane + (at < more)
                    at += 1
                    if home % workers == worker:
                        yield home, acquirer, lane, count


@dataclass(frozen=True, slots=True)
class Phase:
    """What a phase took: seconds by the clock and of CPU, resident bytes at its peak and before it, what it
    worked on.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    start_bytes: int
    done: int


class _Watch:
    def __init__(self) -> None:
        self.start_bytes, self._started, self._cpu = peak_bytes(), time.perf_counter(), time.process_time()

    def phase(self, done: int) -> Phase:
        seconds, cpu = time.perf_counter() - self._started, time.process_time() - self._cpu
        return Phase(seconds, cpu, peak_bytes(), self.start_bytes, done)


def peak_bytes() -> int:
    """The most memory that this process has had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _store(folder: Path, worker: int, *, create: bool = False) -> RocksStore:
    return RocksStore(folder / f"worker-{worker}", RocksOptions(create=create))


def generate(scale: Scale, folder: Path, worker: int, workers: int) -> Phase:
    """Makes the records of one worker's merchants."""
    coalition, store, watch, made = (
        make_coalition(scale.merchants),
        _store(folder, worker, create=True),
        _Watch(),
        0,
    )
    ids, mine = coalition.ids, sum(lane[3] for lane in scale.lanes_of(worker, workers))
    batch, told = Batch(), time.monotonic()
    for home, acquirer, lane, count in scale.lanes_of(worker, workers):
        maker = LaneMaker(coalition, ids[home], ids[acquirer], lane, sign_every=scale.sign_every)
        for number, record in enumerate(maker.one_of_each(WINDOW, count), 1):
            key = lane_record_key(lane, Role.HOME, _name(home, acquirer), lane, number)
            batch.put(key, LANE_ENTRY.encode(entry_of(record)))
            if len(batch) >= BATCH_RECORDS:
                store.write(batch)
                batch = Batch()
        made += count
        if time.monotonic() - told > PROGRESS_SECONDS:
            told = time.monotonic()
            print(f"  process {worker + 1} of {workers}: {made:,} of {mine:,} records", flush=True)
    store.write(batch)
    store.sync()
    store.close()
    return watch.phase(made)


def _name(home: int, acquirer: int) -> str:
    """Several merchants share a store here, so a partner is named with whose partner it is."""
    return f"{home}.{acquirer}"


def _records(store: Store, home: int, acquirer: int, lane: int) -> Iterator[bytes]:
    return (
        value for _, value in store.scan(*lane_records_range(lane, Role.HOME, _name(home, acquirer), lane))
    )


def close_all(scale: Scale, folder: Path, worker: int, workers: int) -> tuple[Phase, bytes]:
    """All closes of one worker's merchants as home nodes, signed by both sides; the acquirer's work is the
    same.

    The closes are written to one file; its name comes back with the phase.
    """
    coalition, store = make_coalition(scale.merchants), _store(folder, worker)
    watch, done, ids = _Watch(), 0, coalition.ids
    path = folder / f"closes-{worker}"
    with path.open("wb") as file:
        for (home, acquirer), lanes in _by_pair(scale, worker, workers):
            parts = []
            for lane in lanes:
                part = lane_part(LaneStart(lane), WINDOW, _records(store, home, acquirer, lane))
                assert isinstance(part, LanePart)
                parts.append(part)
            names = PairNames(COALITION, WINDOW, ids[home], ids[acquirer])
            close = pair_close(names, parts)
            signed = sign_close(close, coalition.signers[ids[home]], ids[home])
            signed = cosign_close(signed, coalition.signers[ids[acquirer]], ids[acquirer])
            data = signed_close_message(signed).SerializeToString()
            file.write(len(data).to_bytes(4, "big") + data)
            done += close.record_count
    phase = watch.phase(done)
    store.close()
    return phase, os.fsencode(path)


def _by_pair(scale: Scale, worker: int, workers: int) -> Iterator[tuple[tuple[int, int], range]]:
    for home, acquirer, lane, _ in scale.lanes_of(worker, workers):
        if lane == 0:
            yield (home, acquirer), range(scale.lanes)


def operate(scale: Scale, folder: Path, paths: list[bytes]) -> tuple[dict[str, Phase], int]:
    """The operator's work: checks every close as it comes in, computes the statement, publishes it.

    Also the verifier's: it gets nothing but the file and the directory. Phases by name, and the file's size.
    """
    coalition = make_coalition(scale.merchants)
    directory = coalition.directory
    window, terms = directory.window(WINDOW), terms_of(directory, WINDOW)
    assert window is not None
    assert terms is not None
    now_ms, watch, taken = window_start(WINDOW + 1) + 86_400_000, _Watch(), []
    for path in paths:
        for data in _framed(Path(os.fsdecode(path))):
            signed = read_signed_close(exchange_signed(data))
            assert close_problem(directory, window, signed, now_ms, lambda _: None) is None
            taken.append(signed)
    phases = {"collect": watch.phase(len(taken))}
    watch = _Watch()
    statement = publish(
        directory,
        coalition.signed.body,
        terms,
        WINDOW,
        WindowInput(tuple(taken)),
        coalition.operator,
        now_ms=now_ms,
    )
    phases["net"] = watch.phase(len(taken))
    (folder / "statement").write_bytes(statement)
    return phases, len(statement)


def audit(scale: Scale, folder: Path) -> Phase:
    """The verifier's work on the published file."""
    coalition = make_coalition(scale.merchants)
    statement, watch = (folder / "statement").read_bytes(), _Watch()
    published, raw, keys = load_directory(coalition.signed.data)
    report = verify(statement, published, raw, keys)
    assert report.sound, report.checks
    assert sum(report.nets.values()) == 0
    return watch.phase(len(report.nets))


def exchange_signed(data: bytes) -> close_pb2.SignedPairClose:
    """A SignedPairClose from its bytes."""
    return parsed(close_pb2.SignedPairClose, data)


def _framed(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while head := file.read(4):
            yield file.read(int.from_bytes(head, "big"))


# --- a merchant's own recomputation ------------------------------------------------------------------------


def recompute_turns(scale: Scale, folder: Path, records: int, rounds: int) -> list[tuple[float, float]]:
    """(records a CPU second of a bare loop, of the recomputation), turn by turn over the same records.

    The bare loop takes each stored record from the same scan of the same store and hashes its bytes once,
    `hashlib.sha256(record).digest()`, and does nothing else. The recomputation does what a merchant does with
    its own records: takes them from that scan, checks the chain, sums, makes the trees and the closes. It is
    this thread's CPU time, so that neither other programs nor RocksDB's own threads count.
    """
    store = _store(folder, 0)
    chosen, total = [], 0
    for home, acquirer, lane, count in scale.lanes_of(0, os.cpu_count() or 1):
        chosen.append((home, acquirer, lane))
        total += count
        if total >= records:
            break
    turns = [(total / _bare(store, chosen), total / _recompute(store, chosen)) for _ in range(rounds + 1)]
    store.close()
    return turns[1:]  # the first turn fills the block cache


def _bare(store: Store, lanes: list[tuple[int, int, int]]) -> float:
    started, sha256 = time.thread_time(), hashlib.sha256
    for home, acquirer, lane in lanes:
        for record in _records(store, home, acquirer, lane):
            sha256(record).digest()
    return time.thread_time() - started


def _recompute(store: Store, lanes: list[tuple[int, int, int]]) -> float:
    started = time.thread_time()
    pairs: dict[tuple[int, int], list[LanePart]] = {}
    for home, acquirer, lane in lanes:
        part = lane_part(LaneStart(lane), WINDOW, _records(store, home, acquirer, lane))
        assert isinstance(part, LanePart)
        pairs.setdefault((home, acquirer), []).append(part)
    for (home, acquirer), parts in pairs.items():
        pair_close(PairNames(COALITION, WINDOW, f"m{home:03}", f"m{acquirer:03}"), parts)
    return time.thread_time() - started


# --- signatures --------------------------------------------------------------------------------------------


def signed_records(
    scale: Scale, store: Store, worker: int, workers: int
) -> Iterator[tuple[int, int, LaneEntry]]:
    """(home, acquirer, record) of the records that are really signed, of one worker's store."""
    for home, acquirer, lane, _ in scale.lanes_of(worker, workers):
        for number, record in enumerate(_records(store, home, acquirer, lane)):
            if number % scale.sign_every == 0:
                yield home, acquirer, LANE_ENTRY.decode(record)


def verify_turn(
    scale: Scale, folder: Path, worker: int, workers: int, wanted: int
) -> tuple[int, float, float]:
    """(signatures, CPU seconds of the raw check, of the records' check) of `wanted` records of one worker's.

    In turns of a few thousand, so that both see the same machine. The raw check is Ed25519 verify over
    bytes and keys laid ready; the records' check starts from stored bytes and a directory.
    """
    coalition, store = make_coalition(scale.merchants), _store(folder, worker)
    sample = islice(signed_records(scale, store, worker, workers), wanted)
    checker, ids = RecordSignatures(coalition.directory), coalition.ids
    raw_seconds, checked_seconds, done, told = 0.0, 0.0, 0, time.monotonic()
    while some := list(islice(sample, 2_000)):
        ready = [
            part for home, acquirer, record in some for part in _ready(coalition, ids, home, acquirer, record)
        ]
        started = time.thread_time()
        for key, signature, signed in ready:
            key.verify(signature, signed)
        raw_seconds += time.thread_time() - started
        started = time.thread_time()
        for home, acquirer, record in some:
            assert checker.check(record, ids[home], ids[acquirer]).sound
        checked_seconds += time.thread_time() - started
        done += len(some)
        if time.monotonic() - told > PROGRESS_SECONDS:
            told = time.monotonic()
            print(f"  process {worker + 1} of {workers}: {2 * done:,} signatures", flush=True)
    store.close()
    return 2 * done, raw_seconds, checked_seconds


def _ready(
    coalition: Coalition, ids: list[str], home: int, acquirer: int, record: LaneEntry
) -> list[tuple[Ed25519PublicKey, bytes, bytes]]:
    """(key, signature, signed bytes) of a record's two signatures."""
    assert record.request is not None
    sides = ((ids[home], record.posted), (ids[acquirer], record.request))
    kind = PAYLOAD_TYPE.encode()
    return [
        (
            Ed25519PublicKey.from_public_bytes(coalition.signers[who].public_bytes),
            envelope.signature,
            b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(envelope.header), envelope.header),
        )
        for who, envelope in sides
    ]
