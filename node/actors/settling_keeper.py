"""What a merchant does about windows by itself: closes them with every partner, hands closes in, takes
statements over.

It looks at the earliest window that has been cut and has no statement here: the next one goes on where its
statement ends. A partner that does not answer holds up only its own pair. Asking again is always safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import structlog
from msgspec.structs import replace

from node.actors.settling import Pair, Settling
from node.actors.settling_alone import made_alone
from node.actors.settling_disputes import record_bytes
from node.actors.settling_mending import Mending
from node.actors.settling_paid import PaymentsKnown, SettlingPaid
from node.actors.settling_ports import LaneBooks, LanesUnavailable, SettlingFault
from node.coalition.directory import Directory, Window
from node.settlement.disputes import QUESTIONS_MAX
from node.settlement.documents import CloseBasis, LaneEvidence, Mismatch, PairClose, SignedClose
from node.settlement.windows import grace_over, partners_of, takes_part, terms_of
from node.wire.coalition_store import envelope_bytes
from node.wire.settlement_fields import DocumentUnreadable

LOOK_SECONDS = 30.0
"""The longest pause between two looks. A statement that is out is here within it."""
FIRST_SECONDS = 1.0
"""The pause after a look that got on with something; without, it doubles from look to look."""

log = structlog.get_logger()


class Operator(PaymentsKnown, Protocol):
    """The operator's service as a merchant uses it; a call that finds nobody gives False or None."""

    async def submit(self, signed: SignedClose) -> bool:
        """Hands in a close of both sides, or a zero close by one alone. May raise what the operator said."""
        ...

    async def submit_alone(self, signed: SignedClose, records: Iterable[bytes]) -> bool:
        """Hands in a close by this side alone with its LaneRecords."""
        ...

    async def report(self, found: Mismatch) -> bool:
        """Tells the operator what was found where records part."""
        ...

    async def statement(self, window: int) -> bytes | None:
        """A published statement's file; None where there is none yet."""
        ...


class SettlingKeeper:
    """Looks again and again. `start` once the node serves; `stop` before its shards close."""

    def __init__(
        self,
        settling: Settling,
        lanes: LaneBooks,
        operator: Callable[[], Operator],
        directory: Callable[[], Directory | None],
        clock_ms: Callable[[], int],
        refusals: tuple[type[Exception], ...] = (),
    ) -> None:
        self._settling = settling
        self._lanes = lanes
        self._operator = operator
        self._directory = directory
        self._clock_ms = clock_ms
        self._refusals = refusals
        self.paid = SettlingPaid(settling, lanes, operator)
        self._mending = Mending(settling, lanes)
        self._handed: set[tuple[int, Pair, CloseBasis]] = set()
        self._stood: tuple[int, ...] = ()
        self._idle_looks = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to look."""
        self._task = asyncio.get_running_loop().create_task(self._repeat())

    async def stop(self) -> None:
        """Looks no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """One look: the statement of the earliest unsettled window where there is one, else its closes."""
        directory = self._directory()
        if directory is None:
            return
        try:
            await self.paid.look(directory)
        except self._refusals as refusal:
            log.warning("payments_unknown", why=str(refusal))
        await self._report()
        for window in self._unsettled(directory):
            data = await self._operator().statement(window.number)
            if data is None:
                await self._close(directory, window)
                return
            if not await self._take_over(directory, window.number, data):
                return
            await self._mend(window.number)

    def _unsettled(self, directory: Directory) -> list[Window]:
        own, now_ms = directory.partner(self._settling.own_id), self._clock_ms()
        return [
            window
            for window in directory.windows
            if window.cut_time_ms <= now_ms
            and own is not None
            and takes_part(own, window.number)
            and terms_of(directory, window.number) is not None
            and not self._settling.has_statement(window.number)
        ]

    async def _take_over(self, directory: Directory, number: int, data: bytes) -> bool:
        """Keeps a statement where all of it agrees, and compares with the partners; says whether it was
        kept.
        """
        found = self._settling.adopt(data, await made_alone(self._settling, self._lanes, data))
        wrong = [one.what for one in found if not one.agrees]
        if wrong:
            log.error("statement_not_taken_over", window=number, problems=wrong[:10])
            return False
        log.info("statement_taken_over", window=number)
        for partner_id in self._others(directory, number):
            for proof in await self._settling.exchange_heads(partner_id):
                log.error("operator_signed_two_statements", window=proof.window, partner=partner_id)
        return True

    def _others(self, directory: Directory, number: int) -> list[str]:
        return [one for one in partners_of(directory, number) if one != self._settling.own_id]

    async def _close(self, directory: Directory, window: Window) -> None:
        for partner_id in self._others(directory, window.number):
            own_id = self._settling.own_id
            try:
                await self._settling.close_with(partner_id, window.number)
                for pair in ((own_id, partner_id), (partner_id, own_id)):
                    await self._hand_in(directory, window, pair)
            except self._refusals as refusal:
                log.warning("close_refused", window=window.number, partner=partner_id, why=str(refusal))
            except (SettlingFault, LanesUnavailable, DocumentUnreadable) as fault:
                log.error("close_impossible", window=window.number, partner=partner_id, why=str(fault))
        await self._report()
        await self._mend(window.number)

    async def _mend(self, window: int) -> None:
        """What this node lacks by its closes of a window, it fetches."""
        try:
            await self._mending.look(window)
        except LanesUnavailable:
            log.info("mending_waits", window=window)

    async def _hand_in(self, directory: Directory, window: Window, pair: Pair) -> None:
        """Hands in what both signed; after the time to sign, what this side can prove alone."""
        signed = self._settling.agreed(window.number, pair)
        if signed is not None:
            await self._once(signed, ())
        elif grace_over(directory, window, self._clock_ms()):
            await self._once(*await self._alone(pair, window.number))

    async def _once(self, signed: SignedClose, records: Iterable[bytes]) -> None:
        key = signed.close.window, signed.close.pair, signed.close.basis
        if key in self._handed:
            return
        operator = self._operator()
        alone = signed.close.basis is not CloseBasis.AGREED and signed.close.record_count
        taken = await (operator.submit_alone(signed, records) if alone else operator.submit(signed))
        if taken:
            self._handed.add(key)

    async def _alone(self, pair: Pair, window: int) -> tuple[SignedClose, list[bytes]]:
        """A close by this side alone, with what proves it and its records.

        As acquirer the home node's POSTEDs prove all of it. As home node what the acquirer has acknowledged
        does; each lane ends there, and what comes after it waits for the acquirer.
        """
        if pair[0] != self._settling.own_id:
            close = await self._settling.compute(pair, window, basis=CloseBasis.ACQUIRER_ALONE)
            ends = {one.lane: b"" for one in close.lanes}
        else:
            close, ends = await self._acknowledged(pair, window)
        evidence, records = await self._proved(close, ends)
        return replace(self._settling.alone(close), evidence=evidence), records

    async def _acknowledged(self, pair: Pair, window: int) -> tuple[PairClose, dict[int, bytes]]:
        """As home node: the close as far as the silent acquirer has signed, and where it did, by lane."""
        await self._lanes.shut_home(pair[1], window)
        whole = await self._settling.compute(pair, window, basis=CloseBasis.HOME_ALONE)
        until, ends = {}, {}
        for lane in whole.lanes:
            number, envelope = await self._lanes.acked(pair[1], lane.lane, window)
            until[lane.lane] = max(number, lane.from_number - 1)
            ends[lane.lane] = envelope
        close = await self._settling.compute(pair, window, basis=CloseBasis.HOME_ALONE, until=until)
        return close, {lane.lane: ends[lane.lane] for lane in close.lanes}

    async def _proved(
        self, close: PairClose, ends: Mapping[int, bytes]
    ) -> tuple[tuple[LaneEvidence, ...], list[bytes]]:
        """What the silent side signed of each lane: `ends`, or where that is empty the last POSTED; and all
        records.
        """
        home = close.home_id == self._settling.own_id
        partner_id = close.acquirer_id if home else close.home_id
        evidence, records = [], []
        for lane in close.lanes:
            numbers = range(lane.from_number, lane.to_number + 1)
            posted = b""
            for first in range(0, len(numbers), QUESTIONS_MAX):
                some = list(numbers[first : first + QUESTIONS_MAX])
                for entry in await self._lanes.entries(partner_id, lane.lane, some, home=home):
                    if entry is None:
                        raise SettlingFault(f"A record of lane {lane.lane} with {partner_id} is gone.")
                    records.append(record_bytes(entry))
                    posted = envelope_bytes(entry.posted)
            evidence.append(LaneEvidence(lane.lane, ends[lane.lane] or posted))
        return tuple(evidence), records

    async def _report(self) -> None:
        """Tells the operator of every mismatch that it has not taken yet, whatever became of its window."""
        for found in self._settling.reports.untold():
            try:
                if not await self._operator().report(found):
                    return  # nobody is there now: the next look tells it
            except self._refusals as refusal:
                log.warning("report_refused", window=found.window, why=str(refusal))
            else:
                self._settling.reports.told(found)

    def pause_seconds(self) -> float:
        """How long to wait for the next look: short while a window's closes and statement come one after
        another, longer where a partner or the operator is silent, and never beyond the next cut.
        """
        directory = self._directory()
        if directory is None:
            return LOOK_SECONDS
        unsettled = [one.number for one in self._unsettled(directory)]
        stands = (*unsettled, -1, len(self._handed))
        self._idle_looks = self._idle_looks + 1 if stands == self._stood else 0
        self._stood = stands
        longest = FIRST_SECONDS * 2 ** min(self._idle_looks, 10) if unsettled else LOOK_SECONDS
        cuts = (one.cut_time_ms - self._clock_ms() for one in directory.windows)
        return min(longest, LOOK_SECONDS, min((cut / 1000 for cut in cuts if cut > 0), default=LOOK_SECONDS))

    async def _repeat(self) -> None:
        while True:
            try:
                await self.look()
            except Exception as fault:
                log.error("settling_faulted", exc_info=fault)
            await asyncio.sleep(self.pause_seconds())
