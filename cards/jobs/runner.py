"""One card after another: met, made, read back, enrolled, each to the end or so that it can be resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from cards.apdu import CardError, CardLost, Command, Processor, Response, Trace, Transport, card_chain
from cards.jobs.book import MAX_FAILED_VISITS, CardBook, JobBook
from cards.jobs.enrolment import CardEnrolment, Enroller, EnrolmentPostponed, EnrolmentRefused, request_id
from cards.jobs.journal import What
from cards.jobs.manifest import Accounts, Action, JobRefused
from cards.jobs.recipes import RECIPES, IssuerKeys, check_keys
from cards.keys import CardIdentity
from cards.profiles.native_card import MASTER, RandomBytes
from cards.profiles.steps import MAX_WRONG_KEYS, CardNotOurs, DefaultKey, run_steps


class Place(Protocol):
    """Where cards are put: a reader, or a test's hand."""

    def wait_for_card(self) -> bool:
        """Wait for a card; False when no more will come."""
        ...

    def powered(self) -> AbstractContextManager[Transport]:
        """The card that lies there, powered anew; `CardError` when there is none any more."""
        ...

    def wait_for_removal(self) -> None:
        """Wait until it is taken away."""
        ...


class Result(StrEnum):
    """What became of a card that was put on."""

    FINISHED = "finished"
    NOT_ENROLLED = "made, not yet enrolled"
    ENROLMENT_REFUSED = "made, refused by the node"
    """Mend what the node names, and run the job again: the card itself is done."""
    INTERRUPTED = "interrupted: put it back"
    FAILED = "failed: try it once more"
    SET_ASIDE = "set aside"
    NOT_TAKEN = "not taken"
    """It is no card for this job; nothing was done to it."""


@dataclass(frozen=True, slots=True)
class CardOutcome:
    """One card on the reader, from being put on to the end. `words` say what to do if it is not finished."""

    result: Result
    number: str = ""
    uid: str = ""
    words: str = ""
    commands: int = 0
    seconds: float = 0.0


class Runner:
    """Makes the cards of one job. Nothing of it survives a killed process; the book does."""

    def __init__(
        self,
        book: JobBook,
        keys: IssuerKeys,
        place: Place,
        *,
        random_bytes: RandomBytes,
        now_ms: Callable[[], int],
        enroller: Enroller | None = None,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        """`JobRefused` when the keys are not those of the job, or it enrols and no node is given."""
        manifest = book.job.manifest
        check_keys(manifest, keys)
        if manifest.enrolment.accounts is not Accounts.NONE and enroller is None:
            raise JobRefused("The job enrols its cards, and no node is named.")
        self._book, self._keys, self._place = book, keys, place
        self._random, self._now_ms, self._enroller, self._trace = random_bytes, now_ms, enroller, trace
        self._manifest = manifest
        self._recipe = RECIPES[manifest.card_profile]
        self._commands = 0

    def run(self, report: Callable[[CardOutcome], None]) -> None:
        """Until every number has a card that was made, or no more cards come. `report` gets every outcome."""
        for outcome in self.enrol_pending():
            report(outcome)
        while self._book.wants_cards and self._place.wait_for_card():
            report(self.make_one())
            self._place.wait_for_removal()

    def make_one(self) -> CardOutcome:
        """The card that lies there, to its end or as far as it goes."""
        started, self._commands = time.monotonic(), 0
        try:
            outcome = self._met()
        except JobRefused as refused:
            outcome = CardOutcome(Result.NOT_TAKEN, words=str(refused))
        except CardLost as lost:
            outcome = CardOutcome(Result.INTERRUPTED, words=str(lost))
        except CardError as wrong:
            outcome = CardOutcome(Result.NOT_TAKEN, words=str(wrong))
        return CardOutcome(
            outcome.result,
            outcome.number,
            outcome.uid,
            outcome.words,
            self._commands,
            time.monotonic() - started,
        )

    def enrol_pending(self) -> list[CardOutcome]:
        """Tell the node of all cards that are made and not enrolled; stops at the first that must wait."""
        outcomes = []
        for number in list(self._book.open_numbers):
            with closing(self._book.card(number)) as card:
                if card.last(What.ACCEPTED) is None:
                    continue
                outcomes.append(self._enrolled(card))
                if outcomes[-1].result is Result.NOT_ENROLLED:
                    break
        return outcomes

    # One card

    def _met(self) -> CardOutcome:
        """Who lies there is found out without a key; then it is made under its number."""
        with self._place.powered() as transport:
            visit = self._recipe.visit(self._chain(transport), self._random)
            uid = self._who(visit)
            number = self._book.chips.get(uid.hex(), "")
            if not number:
                number_on_it = self._number_on(visit)
                with closing(self._book.assign(uid, number_on_it)) as card:
                    number = card.number
        if (why := self._book.set_aside.get(uid.hex())) is not None:
            return CardOutcome(Result.NOT_TAKEN, number, uid.hex(), f"It was set aside: {why}")
        if number in self._book.finished:
            return CardOutcome(Result.FINISHED, number, uid.hex(), "It was finished before.")
        with closing(self._book.card(number)) as card:
            if card.last(What.ACCEPTED) is not None:
                return self._enrolled(card)
            return self._made(card, uid)

    def _who(self, visit: Any) -> bytes:
        uid = self._recipe.identify(visit)
        if uid is not None:
            return uid
        label = self._recipe.label(visit)
        for chip, number in self._book.chips.items():
            if label is not None and (label.issuer, label.alias) == (self._manifest.issuer, number):
                return bytes.fromhex(chip)
        self._recipe.identify(visit)
        if visit.key_version(MASTER) != 0:
            raise JobRefused("The card hides its UID and is not blank. Put it aside; no key was tried.")
        return self._recipe.factory_uid(visit)

    def _number_on(self, visit: Any) -> str:
        label = self._recipe.label(visit)
        if self._manifest.action is Action.ROTATE:
            if (
                label is None
                or label.issuer != self._manifest.issuer
                or not self._manifest.holds(label.alias)
            ):
                raise JobRefused("The card is not one of those that this job renews. No key was tried.")
            return label.alias
        if label is not None:
            raise JobRefused(
                f"The card is {label.alias} of {label.issuer} already, and not by this job. No key was tried."
            )
        return ""

    def _made(self, card: CardBook, uid: bytes) -> CardOutcome:
        if not card.may_be_probed():
            return self._set_aside(card, "Too many wrong keys may have been tried on it, over all visits.")
        identity = CardIdentity(self._manifest.card_profile, uid, card.number)
        plan = self._recipe.plan(self._manifest, self._keys, identity)
        try:
            self._visit(
                card, lambda visit: run_steps(visit, self._recipe.steps(self._manifest, plan), card.step)
            )
            found = self._visit(card, lambda visit: self._recipe.read_back(visit, plan))
        except CardLost as lost:
            return self._outcome(Result.INTERRUPTED, card, str(lost))
        except (CardNotOurs, DefaultKey) as wrong:
            return self._set_aside(card, str(wrong))
        except CardError as wrong:
            card.note(What.FAILED, words=str(wrong))
            if card.failed_visits >= MAX_FAILED_VISITS:
                return self._set_aside(card, f"It failed {MAX_FAILED_VISITS} times; the last time: {wrong}")
            return self._outcome(Result.FAILED, card, str(wrong))
        card.accepted(found)
        self._book.made.add(card.number)
        return self._enrolled(card)

    def _visit(self, card: CardBook, work: Callable[[Any], Any]) -> Any:
        """One powering of the card, with its wrong keys counted even if this process is killed."""
        with self._place.powered() as transport:
            visit = self._recipe.visit(self._chain(transport), self._random)
            # On the disk beforehand where wrong keys wear the card out: whoever pulls the plug may be trying.
            at_risk = MAX_WRONG_KEYS if hasattr(visit, "wrong_keys") else 0
            card.note(What.VISIT, sync=at_risk > 0, wrong_keys=at_risk)
            try:
                done = work(visit)
            except CardError as wrong:
                words = str(wrong)
                card.note(What.VISIT_ENDED, wrong_keys=getattr(visit, "wrong_keys", 0), words=words)
                raise
            card.note(What.VISIT_ENDED, sync=False, wrong_keys=getattr(visit, "wrong_keys", 0))
            return done

    def _enrolled(self, card: CardBook) -> CardOutcome:
        manifest = self._manifest
        account = ""
        if manifest.enrolment.accounts is not Accounts.NONE and self._enroller is not None:
            known = card.last(What.ENROLLED)
            try:
                account = known.account if known else self._enroller.enrol(self._request(card))
            except EnrolmentPostponed as wrong:
                return self._outcome(Result.NOT_ENROLLED, card, str(wrong))
            except EnrolmentRefused as wrong:
                return self._outcome(Result.ENROLMENT_REFUSED, card, str(wrong))
            if known is None:
                card.note(What.ENROLLED, account=account)
        card.note(What.FINISHED)
        self._book.end(card)
        return self._outcome(Result.FINISHED, card)

    def _request(self, card: CardBook) -> CardEnrolment:
        """The request of this card: the one that was begun, or a new one, on the disk before it is sent."""
        job, manifest = self._book.job, self._manifest
        begun = card.last(What.ENROLLING) or card.note(
            What.ENROLLING, request_id=request_id(job.digest, card.number, card.uid)
        )
        member = job.members.get(card.number)
        return CardEnrolment(
            begun.request_id,
            begun.at_ms,
            CardIdentity(manifest.card_profile, bytes.fromhex(card.uid), card.number),
            manifest.keys.version,
            manifest.enrolment.accounts,
            member.account if member else "",
            manifest.action is Action.ROTATE,
        )

    def _set_aside(self, card: CardBook, why: str) -> CardOutcome:
        card.note(What.SET_ASIDE, words=why)
        self._book.end(card)
        return self._outcome(Result.SET_ASIDE, card, f"{why} Its number is free for another card.")

    def _outcome(self, result: Result, card: CardBook, words: str = "") -> CardOutcome:
        return CardOutcome(result, card.number, card.uid, words)

    def _chain(self, transport: Transport) -> Processor:
        chain: Processor = card_chain(transport)
        if self._trace is not None:
            chain = Trace(chain, self._trace)
        return _Counting(chain, self)

    def counted(self) -> None:
        """One more command."""
        self._commands += 1


class _Counting:
    def __init__(self, inner: Processor, runner: Runner) -> None:
        self._inner, self._runner = inner, runner

    def send(self, command: Command) -> Response:
        self._runner.counted()
        return self._inner.send(command)
