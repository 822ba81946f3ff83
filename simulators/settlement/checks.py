"""What must be true of every window when all is quiet: computed three times, and each time the same bytes.

The operator's statement is computed by the node's code from the closes; the verifier computes it with code of
its own from the file; and every merchant's disk is read anew, record by record, for the closes themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from node.coalition.messages import MessageType, Posted
from node.settlement.closes import LanePart, LaneStart, PairNames, pair_close, starts_after
from node.settlement.documents import CloseBasis, Mismatch, Net, PairClose, SignedClose
from node.settlement.statement import carried_from
from node.settlement.windows import partners_of
from node.storage.coalition_keys import Role
from node.storage.settlement_keys import Item, item_key, item_range
from node.storage.store import Store
from node.wire.coalition_bodies import ENCODER
from node.wire.coalition_store import LANE_ENTRY, LaneEntry
from node.wire.settlement import close_bytes, read_equivocation, read_mismatch_bytes
from node.wire.settlement_lines import ReadStatement, read_signed_statement
from node.wire.settlement_publish import recheck
from node.wire.settlement_scan import LaneBroken, lane_part
from node.wire.settlement_signing import operator_signed
from simulators.settlement.acts import FOUND_AS, Act, ActKind
from simulators.settlement.merchant import SettlingNode
from simulators.settlement.operator import SimOperator
from simulators.sim.checks import Books
from simulators.sim.coalition import OPERATOR
from simulators.sim.lane_checks import Side
from verifier.signatures import load_directory
from verifier.statement import Report, verify

SLACK_MS = 60_000
"""A statement is out, and every merchant has it, so long after a window's time to sign is over."""

Pair = tuple[str, str]


class Settled:
    """What was settled, as the disks have it. `violations` also fills `counts`."""

    def __init__(
        self,
        operator: SimOperator,
        merchants: Sequence[SettlingNode],
        directory: bytes,
        acts: Sequence[Act],
        partitions: int,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._operator, self._books = operator, operator.disk.read()
        self._directory = operator.known.newest
        self._verifying = load_directory(directory, OPERATOR.public_uri)
        self._acts, self._partitions = acts, partitions
        self._nodes = {node.plan.merchant: node for node in merchants}
        self._kept: dict[str, Store] = {node.plan.merchant: node.control.read() for node in merchants}
        self._sides = {node.plan.merchant: Side(Books(node), partitions) for node in merchants}
        self._starts: dict[Pair, dict[int, LaneStart]] = {}

    def violations(self, now_ms: int) -> list[str]:
        """Everything that is not as it must be."""
        found = [f"the operator: {what}" for what in self._operator.broken]
        grace_ms = self._directory.settlement_terms[0].close_grace_seconds * 1_000
        before: bytes = b""
        last = 0
        for window in self._directory.windows:
            if window.cut_time_ms + grace_ms + SLACK_MS > now_ms:
                break
            data = self._books.get(item_key(Item.STATEMENT, window.number))
            if data is None:
                found.append(f"window {window.number} has no statement")
                break
            found += self._window(window.number, data, before)
            before, last = data, window.number
        found += self._left_over(last)
        found += self._untold(last)
        return [*found, *self._acts_found(last)]

    # --- one window -----------------------------------------------------------------------------

    def _window(self, number: int, data: bytes, before: bytes) -> Iterator[str]:
        statement = read_signed_statement(data)
        self.counts["statements"] += 1
        yield from (
            f"window {number}, by the verifier: {what}" for what in _wrong(self._verified(data, before))
        )
        yield from self._redone(number, statement, data, before)
        if sum(line.payable for line in statement.lines if isinstance(line, Net)):
            yield f"window {number}: the nets do not add up to zero"
        for merchant, store in self._kept.items():
            kept = store.get(item_key(Item.STATEMENT, number))
            if kept != data and not self._deceived(merchant, number, kept):
                what = "has not taken it over" if kept is None else "has kept another one"
                yield f"window {number}: {merchant} {what}"
        for line in statement.lines:
            if isinstance(line, SignedClose):
                pair = line.close.pair
                self._starts[pair] = starts_after(line.close, self._starts.get(pair, {}))

    def _verified(self, data: bytes, before: bytes) -> Report:
        return verify(data, *self._verifying, before)

    def _deceived(self, merchant: str, number: int, kept: bytes | None) -> bool:
        cheated = any(
            (act.kind, act.window, act.who) == (ActKind.TWO_STATEMENTS, number, merchant)
            for act in self._acts
        )
        return cheated and kept == self._operator.other.get((ActKind.TWO_STATEMENTS, number))

    def _redone(self, number: int, statement: ReadStatement, data: bytes, before: bytes) -> Iterator[str]:
        """Every close from both sides' own records, and the statement by every merchant."""
        own: dict[str, dict[Pair, bytes]] = {merchant: {} for merchant in self._sides}
        for line in statement.lines:
            if not isinstance(line, SignedClose):
                continue
            self.counts[f"closes: {line.close.basis.name.lower().replace('_', ' ')}"] += 1
            self.counts["records settled"] += line.close.record_count
            for merchant in line.close.pair:
                made = self._made(merchant, line.close)
                if isinstance(made, str):
                    yield f"window {number}, {' with '.join(line.close.pair)}, by {merchant}: {made}"
                else:
                    own[merchant][line.close.pair] = close_bytes(made)
                    self.counts["closes made again from records"] += 1
        carried = None
        if before:
            partners = partners_of(self._directory, number)
            carried = carried_from(read_signed_statement(before).lines, same_currency=True, partners=partners)
        for merchant, closes in own.items():
            node = self._nodes[merchant]
            findings = recheck(data, self._directory, [OPERATOR.public_uri], node.open, closes, carried)
            yield from (f"window {number}, by {merchant}: {one.what}" for one in findings if not one.agrees)

    def _made(self, merchant: str, close: PairClose) -> PairClose | str:
        """A close from one side's disk; where a dispute or silence has ended a lane, as far as there."""
        starts, until = (
            self._starts.get(close.pair, {}),
            {one.lane: one.agreed_number for one in close.disputed},
        )
        if close.basis is not CloseBasis.AGREED:
            until = {lane: starts.get(lane, LaneStart(lane)).number for lane in range(self._partitions)}
            until |= {one.lane: one.to_number for one in close.lanes}
        parts = []
        for lane in range(self._partitions):
            start = starts.get(lane) or LaneStart(lane)
            stored = [LANE_ENTRY.encode(entry) for entry in self._entries(merchant, close.pair, lane)]
            try:
                part = lane_part(start, close.window, stored[start.number :], until=until.get(lane))
            except LaneBroken as broken:
                return str(broken)
            if not isinstance(part, LanePart):
                return part.value
            parts.append(part)
        names = PairNames(close.coalition_id, close.window, *close.pair)
        return pair_close(names, parts, disputed=close.disputed, basis=close.basis)

    def _entries(self, merchant: str, pair: Pair, lane: int) -> list[LaneEntry]:
        side, home = self._sides[merchant], pair[0] == merchant
        records = side.records(Role.HOME if home else Role.ACQUIRER, pair[1] if home else pair[0], lane)
        return [entry for _, entry in records]

    # --- afterwards -----------------------------------------------------------------------------

    def _left_over(self, last: int) -> Iterator[str]:
        """Every record of the windows that were settled is in exactly one close."""
        for home in self._sides:
            for acquirer in self._sides:
                for lane in range(self._partitions if home != acquirer else 0):
                    pair = (home, acquirer)
                    entries = self._entries(home, pair, lane)
                    ended = sum(_window_of(entry) <= last for entry in entries)
                    settled = self._starts.get(pair, {}).get(lane, LaneStart(lane)).number
                    if settled != ended:
                        yield (
                            f"lane {lane} of {home} at {acquirer} is settled up to {settled}, and {ended} "
                            f"records are of window {last} or before"
                        )

    def _untold(self, last: int) -> Iterator[str]:
        """Whatever a merchant has found, the operator has too, though calls to it were lost."""
        for merchant, store in self._kept.items():
            for key, data in store.scan(*item_range(Item.MISMATCH)):
                found = read_mismatch_bytes(data)
                self.counts["mismatches found"] += 1
                if found.window <= last and self._books.get(key) != data:
                    yield (
                        f"window {found.window}: {merchant} found lane {found.lane} to differ with "
                        f"{found.acquirer_id}, and the operator does not know"
                    )

    def _acts_found(self, last: int) -> Iterator[str]:
        """Whatever dishonest happened was found, and as what it is."""
        for act in self._acts:
            if not act.happened or act.window > last:
                continue
            match act.kind:
                case ActKind.TWO_STATEMENTS:
                    found = self._proved(act.window)
                case ActKind.MOVED_NET:
                    other = self._operator.other[act.kind, act.window]
                    found = any(
                        "are what the closes give" in what for what in _wrong(self._verified(other, b""))
                    )
                case ActKind.OVERSTATED | ActKind.SILENT:
                    found = True  # what must not be there would have been found above
                case _:
                    found = self._classified(act)
            self.counts[f"found: {act.kind}"] += found
            if not found:
                yield f"{act.kind}: {act.who} with {act.partner}, window {act.window}, and nobody found it"

    def _proved(self, window: int) -> bool:
        """Whether a merchant keeps the proof that the operator signed two statements."""
        proofs = [
            read_equivocation(data)
            for store in self._kept.values()
            for _, data in store.scan(*item_range(Item.HEAD))
        ]
        return any(
            proof.window == window
            and all(operator_signed(head, [OPERATOR.public_uri]) for head in (proof.first, proof.second))
            for proof in proofs
        )

    def _classified(self, act: Act) -> bool:
        """Whether both signed what it is, and the home node keeps the evidence; or the act moved nothing.

        It moves nothing where the pair could not close together: what one side hands in alone is checked
        record by record, and the close is what the honest records give, as was seen above.
        """
        data = self._books.get(item_key(Item.STATEMENT, act.window))
        assert data is not None
        closes = [line for line in read_signed_statement(data).lines if isinstance(line, SignedClose)]
        close = next((one.close for one in closes if one.close.pair == act.pair), None)
        if close is None or close.basis is not CloseBasis.AGREED:
            self.counts["dishonest records that nobody counted: closed by one side, or not at all"] += 1
            return True
        wanted = FOUND_AS[act.kind]
        named = [one.mismatch for one in close.disputed if one.lane == act.lane]
        if not named:
            self.counts["dishonest records that nobody counted: settled before they were shown"] += 1
            return True
        kept = [one.mismatch for one in self._mismatches(self._kept[act.pair[0]], act)]
        self.counts[f"disputes: {wanted.name.lower().replace('_', ' ')}"] += named == [wanted]
        self.counts["disputes of which the operator heard"] += len(self._mismatches(self._books, act))
        return named == kept == [wanted]

    def _mismatches(self, store: Store, act: Act) -> list[Mismatch]:
        data = store.get(item_key(Item.MISMATCH, act.window, *act.pair, act.lane))
        return [] if data is None else [read_mismatch_bytes(data)]


def _wrong(report: Report) -> list[str]:
    return [what for good, what in report.checks if not good]


def _window_of(entry: LaneEntry) -> int:
    body = ENCODER.read(MessageType.POSTED, entry.posted.body)
    assert isinstance(body, Posted)
    return body.core.window
