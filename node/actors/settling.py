"""A merchant's part in settlement: closes with every partner, disputes, statements taken over and compared.

As home node it computes a close and hands it to the acquirer, which computes its own and signs the same
bytes or shows what it has. Where they differ, the first different record is looked for, what both agree on
is signed, and the rest waits for a later window. Everything that counts is kept before it is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec.structs import replace

from node.actors.settling_disputes import Disputes
from node.actors.settling_ports import Asking, LaneBooks
from node.actors.settling_reports import Reports
from node.coalition.directory import Directory
from node.identity.signers import Signer
from node.settlement.closes import LaneStart, PairNames, fault_in, follows, pair_close, starts_after
from node.settlement.documents import CloseBasis, DisputedLane, Mismatch, PairClose, SignedClose
from node.settlement.equivocation import Equivocation, compare
from node.settlement.peer_messages import (
    CloseAnswer,
    HashesWish,
    Heads,
    Propose,
    RecordShown,
    RecordWish,
    Said,
)
from node.settlement.statement import carried_from
from node.settlement.windows import grace_over, partners_of
from node.storage.settlement_keys import Item, item_key, item_range
from node.storage.store import Batch, Store
from node.wire import settlement_store as store
from node.wire.settlement import equivocation_bytes
from node.wire.settlement_lines import ReadStatement, read_signed_statement
from node.wire.settlement_publish import Finding, recheck
from node.wire.settlement_signing import (
    Open,
    close_problem,
    cosign_close,
    operator_signed,
    sign_close,
)
from node.wire.settlement_store import PairStarts

RETRY_MS = 5_000
"""When a home node should ask again that came before this node's records were there."""
NEWEST_HEADS = 16

Pair = tuple[str, str]


class Settling:
    """One merchant's closes. `directory` and `signer` are asked anew each time; times are epoch
    milliseconds.
    """

    def __init__(
        self,
        own_id: str,
        store_: Store,
        directory: Callable[[], Directory],
        operator_uris: Callable[[], Iterable[str]],
        signer: Callable[[], Signer],
        lanes: LaneBooks,
        partners: Asking,
        open_: Open,
        clock_ms: Callable[[], int],
    ) -> None:
        self.own_id = own_id
        self.store = store_
        self.directory = directory
        self._operator_uris = operator_uris
        self._signer = signer
        self._lanes = lanes
        self.partners = partners
        self._open = open_
        self._clock_ms = clock_ms
        self.disputes = Disputes(own_id, directory, signer, lanes, partners)
        self.reports = Reports(store_)

    # --- closes of this node's own ----------------------------------------------------------------------

    async def compute(
        self,
        pair: Pair,
        window: int,
        disputed: Sequence[DisputedLane] = (),
        *,
        basis: CloseBasis = CloseBasis.AGREED,
        until: Mapping[int, int] = {},
    ) -> PairClose:
        """The close of a pair of this node's, from its own records; a disputed lane only as far as agreed,
        and the lanes in `until` only to the record there.
        """
        home = pair[0] == self.own_id
        partner_id = pair[1] if home else pair[0]
        starts = {one.lane: one for one in self.starts(pair).lanes}
        ends = {**until, **{one.lane: one.agreed_number for one in disputed}}
        known = set(await self._lanes.lanes(partner_id, home=home)) | starts.keys() | ends.keys()
        parts = [
            await self._lanes.part(
                partner_id, starts.get(lane) or LaneStart(lane), window, home=home, until=ends.get(lane)
            )
            for lane in sorted(known)
        ]
        names = PairNames(self.directory().coalition_id, window, *pair)
        return pair_close(names, parts, disputed=disputed, basis=basis)

    def starts(self, pair: Pair) -> PairStarts:
        """Where the pair's next close goes on: after the last one that a statement settled."""
        data = self.store.get(item_key(Item.STARTS, *pair))
        return PairStarts(0, ()) if data is None else store.STARTS.decode(data)

    def agreed(self, window: int, pair: Pair) -> SignedClose | None:
        """The close that both sides have signed, as it is kept."""
        data = self.store.get(item_key(Item.CLOSE, window, *pair))
        return None if data is None else store.CLOSE.decode(data)

    async def close_with(self, partner_id: str, window: int) -> SignedClose | None:
        """As home node: the close that both have signed; None while the partner does not answer or is not
        ready.
        """
        pair = (self.own_id, partner_id)
        known = self.agreed(window, pair)
        if known is not None:
            return known
        await self._lanes.shut_home(partner_id, window)
        close = await self.compute(pair, window)
        answer = await self._propose(close)
        if (
            answer is not None
            and answer.different is not None
            and self._sound(answer.different, pair, window)
        ):
            disputed = await self.disputes.search(close, answer.different.close, self.reports.keep)
            if disputed is not None:
                answer = await self._propose(await self.compute(pair, window, disputed))
        if answer is None or answer.agreed is None:
            return None
        return self._keep(answer.agreed)

    async def _propose(self, close: PairClose) -> CloseAnswer | None:
        """Hands a close over; what comes back as agreed is the same bytes, signed by both, or nothing."""
        signed = sign_close(close, self._signer(), self.own_id)
        answer = await self.partners.ask(close.acquirer_id, Propose(signed))
        if not isinstance(answer, CloseAnswer):
            return None
        if answer.agreed is not None and (
            answer.agreed.close_bytes != signed.close_bytes or self._problem(answer.agreed) is not None
        ):
            return None
        return answer

    def _sound(self, shown: SignedClose, pair: Pair, window: int) -> bool:
        """Whether it is a close to search for differences in: one that goes on where this node's own does.
        Else one of the two has not taken over a statement yet, and that is no dispute.
        """
        close, starts = shown.close, {one.lane: one for one in self.starts(pair).lanes}
        named = (close.pair, close.window) == (pair, window) and fault_in(close) is None
        return named and follows(close, starts) and [one.signer_id for one in shown.signatures] == [pair[1]]

    def alone(self, close: PairClose) -> SignedClose:
        """A close by this side alone, without evidence yet."""
        return sign_close(close, self._signer(), self.own_id)

    # --- what partners ask ------------------------------------------------------------------------------

    async def answer(self, partner_id: str, said: Said) -> Said | None:
        """The answer to a partner's question; None for what is none, or not theirs to ask."""
        match said:
            case Propose():
                return await self._answer_close(partner_id, said.close)
            case HashesWish():
                return await self.disputes.hashes(partner_id, said)
            case RecordWish():
                return RecordShown(await self.disputes.record(partner_id, said))
            case Heads():
                self.compare_heads(said)
                return Heads(tuple(one.head for one in self.newest_statements()))
            case _:
                return None

    async def _answer_close(self, partner_id: str, proposed: SignedClose) -> CloseAnswer | None:
        close, window = proposed.close, proposed.close.window
        pair = (partner_id, self.own_id)
        entry = self.directory().window(window)
        if (
            close.pair != pair
            or entry is None
            or [one.signer_id for one in proposed.signatures] != [partner_id]
        ):
            return None
        known = self.agreed(window, pair)
        if known is not None:
            same = known.close_bytes == proposed.close_bytes
            return CloseAnswer(agreed=known) if same else CloseAnswer(different=known)
        now_ms = self._clock_ms()
        if now_ms < entry.cut_time_ms:
            return CloseAnswer(retry_after_ms=entry.cut_time_ms - now_ms)
        own = await self.compute(pair, window, await self._checked(pair, close))
        signed = cosign_close(proposed, self._signer(), self.own_id)
        if own == close and self._problem(signed) is None:
            if not await self._lanes.shut(close, self.starts(pair).lanes):
                return CloseAnswer(retry_after_ms=RETRY_MS)
            return CloseAnswer(agreed=self._keep(signed))
        behind = any(
            mine.get(lane.lane, 0) < lane.to_number
            for mine in ({one.lane: one.to_number for one in own.lanes},)
            for lane in close.lanes
        )
        if behind and not close.disputed and not grace_over(self.directory(), entry, now_ms):
            return CloseAnswer(retry_after_ms=RETRY_MS)  # records may still be on their way
        own = await self.compute(pair, window)
        return CloseAnswer(different=sign_close(own, self._signer(), self.own_id))

    async def _checked(self, pair: Pair, close: PairClose) -> tuple[DisputedLane, ...]:
        """The lanes that a home node calls disputed, as far as this node's own records say so too.

        What this node has on them decides `acquirer_number`; a home node that makes it up gets no signature.
        """
        if not close.disputed:
            return ()
        whole = await self.compute(pair, close.window)
        ends = {one.lane: one.to_number for one in whole.lanes}
        starts = {one.lane: one.number for one in self.starts(pair).lanes}
        return tuple(
            replace(one, acquirer_number=ends.get(one.lane, starts.get(one.lane, 0)))
            for one in close.disputed
        )

    def _problem(self, signed: SignedClose) -> str | None:
        window = self.directory().window(signed.close.window)
        if window is None:
            return "its window is not in the calendar"
        return close_problem(self.directory(), window, signed, self._clock_ms(), self._open)

    def _keep(self, signed: SignedClose) -> SignedClose:
        batch = Batch()
        key = item_key(Item.CLOSE, signed.close.window, *signed.close.pair)
        batch.put(key, store.CLOSE.encode(signed))
        self._commit(batch)
        return signed

    # --- statements -------------------------------------------------------------------------------------

    def adopt(self, data: bytes, alone: Mapping[Pair, bytes] = {}) -> list[Finding]:
        """Looks through a published statement; where all agrees it is kept, and its closes are where lanes
        go on. `alone` is what `settling_alone.made_alone` gives for it.

        What disagrees is told and nothing is kept; so it is when another statement of the window is kept
        already. Raises DocumentUnreadable.
        """
        statement = read_signed_statement(data)
        found = self.check(statement, data, alone)
        known = self.statement(statement.facts.window)
        if known is not None and known.head.head_bytes != statement.head.head_bytes:
            self.compare_heads(Heads((statement.head,)))
            return [*found, Finding(False, "the operator signed another statement of this window before")]
        if known is None and all(one.agrees for one in found):
            batch = Batch()
            batch.put(item_key(Item.STATEMENT, statement.facts.window), data)
            for line in statement.lines:
                if isinstance(line, SignedClose) and self.own_id in line.close.pair:
                    pair = line.close.pair
                    after = starts_after(line.close, {one.lane: one for one in self.starts(pair).lanes})
                    starts = PairStarts(line.close.window, tuple(after[lane] for lane in sorted(after)))
                    batch.put(item_key(Item.STARTS, *pair), store.STARTS.encode(starts))
            self._commit(batch)
        return found

    def check(self, statement: ReadStatement, data: bytes, alone: Mapping[Pair, bytes] = {}) -> list[Finding]:
        """What agrees and what does not in a statement, by the closes that this node signed with others; for
        those that one side handed in `alone`, by what this node's own records give.
        """
        window = statement.facts.window
        own = {one.close.pair: one.close_bytes for one in self.closes(window)} | dict(alone)
        before = self.statement(window - 1) if window else None
        carried: Mapping[Pair, int] | None = None
        if before is not None:
            same = before.facts.currency == statement.facts.currency
            partners = partners_of(self.directory(), window)
            carried = carried_from(before.lines, same_currency=same, partners=partners)
        return recheck(data, self.directory(), self._operator_uris(), self._open, own, carried)

    def statement(self, window: int) -> ReadStatement | None:
        """A statement that this node has taken over."""
        data = self.store.get(item_key(Item.STATEMENT, window))
        return None if data is None else read_signed_statement(data)

    def has_statement(self, window: int) -> bool:
        """Whether this node has taken a window's statement over."""
        return self.store.get(item_key(Item.STATEMENT, window)) is not None

    def newest_statements(self) -> list[ReadStatement]:
        """The newest statements, newest first."""
        found = self.store.scan(*item_range(Item.STATEMENT), limit=NEWEST_HEADS, reverse=True)
        return [read_signed_statement(data) for _, data in found]

    async def exchange_heads(self, partner_id: str) -> list[Equivocation]:
        """Compares statements with a partner; an operator that signed two for one window is found, and
        proved.
        """
        mine = Heads(tuple(one.head for one in self.newest_statements()))
        theirs = await self.partners.ask(partner_id, mine)
        return self.compare_heads(theirs) if isinstance(theirs, Heads) else []

    def compare_heads(self, theirs: Heads) -> list[Equivocation]:
        """Proofs from heads that somebody has, kept; only what the operator signed counts."""
        uris = list(self._operator_uris())
        signed = [head for head in theirs.heads if operator_signed(head, uris)]
        found = compare([one.head for one in self.newest_statements()], signed)
        for proof in found:
            batch = Batch()
            batch.put(item_key(Item.HEAD, proof.window), equivocation_bytes(proof))
            self._commit(batch)
        return found

    def equivocations(self) -> list[bytes]:
        """The proof files that were found."""
        return [data for _, data in self.store.scan(*item_range(Item.HEAD))]

    def closes(self, window: int) -> list[SignedClose]:
        """The closes of a window that both sides have signed, by pair."""
        return [store.CLOSE.decode(data) for _, data in self.store.scan(*item_range(Item.CLOSE, window))]

    def mismatches(self, window: int) -> list[Mismatch]:
        """What this node found, as home node, where its records and a partner's part."""
        return self.reports.of_window(window)

    def _commit(self, batch: Batch) -> None:
        self.store.write(batch)
        self.store.sync()
