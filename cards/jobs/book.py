"""A job's directory: the job's own journal, which says which chip has which number, and one journal a card.

A number is in the job's journal before its card is touched, and a card's journal is closed there with its
last hash; so neither a card nor the end of its journal can be taken out unseen. What a killed process left
open between two journals is brought together when the book is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from cards.jobs.journal import Journal, JournalBroken, Line, What, genesis
from cards.jobs.manifest import JobRefused, SignedJob
from cards.profiles.steps import MAX_WRONG_KEYS, Accepted, Progress, StepEvent

MAX_WRONG_KEYS_PER_CARD = 40
"""Over all visits, below what makes an NTAG 424 DNA slow (50 in a row) or lock (1,000). A visit that a killed
process never ended counts as if it had tried all it might.
"""
MAX_FAILED_VISITS = 5
"""Not counting those from which the card was pulled away."""

_JOB = "job"
_ENDS = {What.FINISHED, What.SET_ASIDE}
_STEPS = {
    Progress.BEGUN: What.STEP_BEGUN,
    Progress.DONE: What.STEP_DONE,
    Progress.ALREADY_DONE: What.STEP_FOUND_DONE,
}


class CardBook:
    """One card's journal, and where its present chip stands by it."""

    def __init__(self, journal: Journal, number: str, now_ms: Callable[[], int]) -> None:
        self._journal = journal
        self._now_ms = now_ms
        self.number = number

    @property
    def head(self) -> str:
        """The hash of the last line."""
        return self._journal.head

    @property
    def lines(self) -> list[Line]:
        """What happened to the present chip: from its assignment on."""
        return lines_of_present_chip(self._journal.lines)

    @property
    def uid(self) -> str:
        """The present chip, in hex; empty before the first."""
        return self.lines[0].uid if self.lines else ""

    def last(self, what: What) -> Line | None:
        """The last line of a kind about the present chip."""
        return next((line for line in reversed(self.lines) if line.what is what), None)

    @property
    def ended(self) -> Line | None:
        """The line that finished the card or set it aside."""
        return next((line for line in self.lines if line.what in _ENDS), None)

    @property
    def wrong_keys(self) -> int:
        """How many wrong keys were, or may have been, tried on the present chip."""
        tried, open_visit = 0, 0
        for line in self.lines:
            if line.what is What.VISIT:
                tried, open_visit = tried + open_visit, line.wrong_keys
            elif line.what is What.VISIT_ENDED:
                tried, open_visit = tried + line.wrong_keys, 0
        return tried + open_visit

    @property
    def failed_visits(self) -> int:
        """How often something else went wrong than that the card was pulled away."""
        return sum(line.what is What.FAILED for line in self.lines)

    def may_be_probed(self) -> bool:
        """Whether one more visit stays below the cap of wrong keys."""
        return self.wrong_keys + MAX_WRONG_KEYS <= MAX_WRONG_KEYS_PER_CARD

    def note(self, what: What, *, sync: bool = True, **fields: object) -> Line:
        """Write a line."""
        return self._journal.append(what, self._now_ms(), sync=sync, **fields)

    def step(self, event: StepEvent) -> None:
        """Write what happened to a step. What is about to happen is on the disk when this returns."""
        self.note(
            _STEPS[event.progress],
            sync=event.progress is Progress.BEGUN,
            step=event.step,
            intent=event.intent if event.progress is Progress.BEGUN else "",
            key_version=event.key_version,
            check_value=(event.check_value or b"").hex(),
        )

    def accepted(self, found: Accepted) -> None:
        """Write that the card was read back whole."""
        keys = tuple(f"{version}:{check.hex()}" for version, check in found.keys)
        # Synced by what follows: ENROLLING or FINISHED.
        self.note(What.ACCEPTED, sync=False, uid=found.uid.hex(), keys=keys, tap_counter=found.tap_counter)

    def close(self) -> None:
        """Let go of the file."""
        self._journal.close()


def lines_of_present_chip(lines: list[Line]) -> list[Line]:
    """From the last assignment on."""
    starts = [at for at, line in enumerate(lines) if line.what is What.ASSIGNED]
    return lines[starts[-1] :] if starts else []


class JobBook:
    """The journals of one job, open for one program. A context manager."""

    def __init__(self, directory: Path, job: SignedJob, now_ms: Callable[[], int]) -> None:
        self.job = job
        self._cards = directory / "cards"
        self._now_ms = now_ms
        self._cards.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._journal = Journal(directory / "job.jsonl", genesis(job.digest, _JOB))
        self.chips: dict[str, str] = {}
        """Number by chip (hex), of all that ever had one."""
        self.open_numbers: dict[str, str] = {}
        """Chip by number, of cards that are neither finished nor set aside."""
        self.made: set[str] = set()
        """Numbers of cards that are accepted, enrolled or not."""
        self.finished: set[str] = set()
        self.set_aside: dict[str, str] = {}
        """Why, by chip."""
        self._place = 0
        try:
            for line in self._journal.lines:
                self._take(line)
            self._bring_together()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_complete(self) -> bool:
        """Whether every number of the batch has a finished card."""
        return len(self.finished) == self.job.manifest.count

    @property
    def wants_cards(self) -> bool:
        """Whether a number of the batch has no card yet that was made and accepted."""
        return len(self.made) < self.job.manifest.count

    def assign(self, uid: bytes, number: str = "") -> CardBook:
        """Give a chip a number: the next free one, or for a rotation the one that it carries.

        `JobRefused` when there is none left, or it has another chip.
        """
        number = number or self._next_free()
        if number in self.finished or self.open_numbers.get(number, uid.hex()) != uid.hex():
            raise JobRefused(f"Number {number} has another chip in this job. Put this card aside.")
        line = self._journal.append(What.ASSIGNED, self._now_ms(), number=number, uid=uid.hex())
        self._take(line)
        return self.card(number)

    def _next_free(self) -> str:
        manifest = self.job.manifest
        while self._place < manifest.count:
            number = manifest.number(self._place)
            if number not in self.finished and number not in self.open_numbers:
                return number
            self._place += 1
        begun = ", ".join(list(self.open_numbers)[:3])
        raise JobRefused(
            "Every number of the batch has a card. "
            + (f"Some are not finished ({begun}); put those on the reader." if begun else "It is complete.")
        )

    def card(self, number: str) -> CardBook:
        """The journal of a number, to be closed by the caller, who is about to write to it."""
        path = self._cards / f"{number}.jsonl"
        card = CardBook(Journal(path, genesis(self.job.digest, number)), number, self._now_ms)
        chip = self.open_numbers.get(number)
        try:
            if chip is not None and card.uid != chip:
                # The job's journal has it durably; here it is synced with what is done first.
                card.note(What.ASSIGNED, sync=False, number=number, uid=chip)
        except BaseException:
            card.close()
            raise
        return card

    def end(self, card: CardBook) -> None:
        """Close the journal of a card that was finished or set aside, in the job's own."""
        line = card.ended
        if line is None:
            raise JournalBroken(f"Card {card.number} has not come to an end. Nothing was closed.")
        # The card's own journal says durably how it ended; if this line is lost, it is written again.
        closing = self._journal.append(
            What.CLOSED,
            self._now_ms(),
            sync=False,
            number=card.number,
            uid=card.uid,
            head=card.head,
            words=line.words,
            step=line.what.value,
        )
        self._take(closing)

    def _take(self, line: Line) -> None:
        if line.what is What.ASSIGNED:
            self.chips[line.uid] = line.number
            self.open_numbers[line.number] = line.uid
        elif line.what is What.CLOSED:
            self.open_numbers.pop(line.number, None)
            if line.step == What.FINISHED:
                self.finished.add(line.number)
                self.made.add(line.number)
            else:
                self.set_aside[line.uid] = line.words
                self._place = 0

    def _bring_together(self) -> None:
        for number in list(self.open_numbers):
            card = self.card(number)
            try:
                if card.last(What.ACCEPTED) is not None:
                    self.made.add(number)
                if card.ended is not None:
                    self.end(card)
            finally:
                card.close()

    def close(self) -> None:
        """Let go of the job."""
        self._journal.close()
