"""The desk: what every member actor of a shard has at hand to judge a command.

A `Case` is one command with its circumstances: parsed, timed, matched with the request record if it came
before. The desk opens cases, and finds the decision and the answer for each kind of command in its tables.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from node.actors.partition import Partition
from node.actors.programmes import Edition, Programmes
from node.actors.settings import ShardSettings
from node.actors.work import Work
from node.identity.digests import RequestDigests
from node.ledger.account import Account, Status
from node.ledger.decision import Context, Decision
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.transactions import Entry
from node.storage import keyspace
from node.storage.store import StoreError
from node.wire.commands import Answer, Command, Op, done, refused
from node.wire.parse import Parsed
from node.wire.records import Quarantine, RequestRecord
from node.wire.requests import unpack

if TYPE_CHECKING:
    from node.actors.card_desk import CardDesk
    from node.actors.vault import Vault

EVIDENCE_CHARS = 300

_REFERRING = frozenset({Op.CAPTURE, Op.VOID, Op.RETURN})
_POOLED = _REFERRING | {
    Op.ACCRUE, Op.RECORD_ACTIVITY, Op.CLAIM_PURCHASE, Op.AUTHORIZE, Op.REDEEM, Op.REVERSE,
    Op.QUOTE, Op.GET_TRANSACTION, Op.GET_BALANCE, Op.LIST_STATEMENT, Op.IDENTIFY,
    Op.ADJUST, Op.DECIDE_ADJUSTMENT, Op.TRANSFER, Op.RECEIVE_TRANSFER,
}  # fmt: skip
_BY_IDENTIFIER = frozenset({Op.ADJUST, Op.DECIDE_ADJUSTMENT, Op.TRANSFER})
_SPENDING = frozenset({Op.AUTHORIZE, Op.REDEEM, Op.QUOTE, Op.IDENTIFY})
_WAITS = frozenset({Op.AUTHORIZE, Op.REDEEM, Op.TRANSFER})
"""What takes units that may be spent already, as partners' records will say."""
_LASTING = frozenset({Op.RECEIVE_TRANSFER, Op.CLOSE_TRANSFER, Op.SET_HOLDER})
"""Steps that are never too old: the outbox keeps them for as long as the node stands still."""


class Case:
    """One command on one account. `puts` are writes that go with it if it is accepted (empty: deletion)."""

    __slots__ = (
        "ask", "body_hash", "command", "edition", "now_ms", "occurred_ms", "op", "partition", "puts",
        "request_id", "request_key", "work",
    )  # fmt: skip

    def __init__(
        self, op: Op, command: Command, partition: Partition, work: Work, now_ms: int, parsed: Parsed[Any],
        edition: Edition, request_key: bytes = b"", body_hash: bytes = b"",
    ) -> None:  # fmt: skip
        self.op = op
        self.command = command
        self.partition = partition
        self.work = work
        self.now_ms = now_ms
        self.occurred_ms = parsed.occurred_ms
        self.request_id = parsed.request_id
        self.body_hash = body_hash
        self.ask: Any = parsed.command
        self.edition = edition
        self.request_key = request_key
        self.puts: list[tuple[bytes, bytes]] = []

    def context(self) -> Context:
        """The circumstances for a decision that will be the partition's next entry."""
        return Context(self.now_ms, self.partition.sequence + 1, self.edition.purses, self.command.author)


Parser = Callable[[Op, bytes, str, str], Parsed[Any] | Refused]
Decider = Callable[["Desk", Case, Account], Decision]
Answerer = Callable[[Op, int, Entry, Account, Mapping[str, Any], str], bytes]
Inquiry = Callable[["Desk", Case, Account], bytes | Refused]


class Desk:
    """The tables and bounds of one shard. `clock` gives epoch milliseconds."""

    storage_faults = (StoreError,)

    def __init__(
        self,
        settings: ShardSettings,
        programmes: Programmes,
        hosted: frozenset[int],
        clock: Callable[[], int],
        digests: RequestDigests,
        vault: Vault | None = None,
    ) -> None:
        self.settings = settings
        self.programmes = programmes
        self.hosted = hosted
        self.clock = clock
        self.digests = digests
        self.vault = vault
        self.spending_waits: Callable[[int], bool] = lambda partition: False
        """Whether a partition came back from a backup, and partners have not shown yet what it lacks."""
        self.cards: CardDesk | None = None
        """Chip cards; None at a node without their keys."""
        self.judge_card: Callable[[Desk, Case, Account], Refused | None] = lambda *_: None
        """Why a card has not proved what is asked; None where it has, or no card is to prove anything."""
        self.hand_on_card: Callable[[Desk, Case, Account], bytes] = lambda *_: b""
        """What a pool is to be told of the card of the member whose request goes to it."""
        self.parsers: dict[Op, Parser] = {}
        self.deciders: dict[Op, Decider] = {}
        self.answerers: dict[Op, Answerer] = {}
        self.inquiries: dict[Op, Inquiry] = {}
        self.opening: frozenset[Op] = frozenset({Op.ENROL, Op.CREATE_POOL})

    def open_case(self, command: Command, partition: Partition, work: Work) -> Case | Answer:
        """The case of a command, or the answer where there is none to open: malformed, known, too old."""
        op, clock_ms = command.op, work.clock_ms
        parsed = self.read(command)
        if isinstance(parsed, Refused):
            return refused(parsed)
        if op in self.inquiries:
            now_ms = max(clock_ms, partition.clock_ms)
            edition = self.programmes.at(parsed.occurred_ms or now_ms)
            case = Case(op, command, partition, work, now_ms, parsed, edition)
            case.occurred_ms = parsed.occurred_ms or now_ms  # a question without a time is about now
            return case
        request_key = keyspace.request_key(partition.number, command.scope, parsed.request_id)
        record = work.request_at(request_key)
        body_hash = self.digests.digest(parsed.body_hash)
        if record is not None:
            return _known(record, body_hash)
        now = partition.now_ms(clock_ms)
        problem = self._time_problem(parsed.occurred_ms, now)
        if now is None or (problem is not None and op not in _LASTING):
            return refused(problem or _clock_behind())
        edition = self.programmes.at(parsed.occurred_ms)
        return Case(op, command, partition, work, now, parsed, edition, request_key, body_hash)

    def read(self, command: Command) -> Parsed[Any] | Refused:
        """What a command asks: as the gateway has read it, or read from its bytes here."""
        op = command.op
        if command.read:
            return unpack(op, command.read)
        return self.parsers[op](op, command.body, command.store_id, self.settings.currency)

    def _time_problem(self, occurred_ms: int, now_ms: int | None) -> Refused | None:
        if now_ms is None:
            return _clock_behind()
        age_ms = now_ms - occurred_ms
        if age_ms > self.settings.retention_ms:
            return refuse(
                Reason.REQUEST_TOO_OLD,
                "The request is older than the node remembers requests. It is never done.",
                retention_days=self.settings.retention_ms // 86_400_000,
            )
        if age_ms > self.settings.lateness_ms or -age_ms > self.settings.future_ms:
            return refuse(
                Reason.OCCURRED_TIME_OUT_OF_BOUNDS,
                "The occurred time lies too far back or in the future. Check the till's clock.",
                lateness_days=self.settings.lateness_ms // 86_400_000,
                age_ms=age_ms,
            )
        return None

    def language_for(self, account: Account) -> str:
        """What receipts speak to the account's holder: their own language, else the merchant's."""
        return account.language or self.settings.language

    def decide(self, case: Case, account: Account) -> Decision:
        """The ledger's decision on a case."""
        if case.command.known_only:
            return reversed_before()
        if case.op in _WAITS and self.spending_waits(case.partition.number):
            return _waits_for_partners()
        unproved = self.judge_card(self, case, account)
        if unproved is not None:
            return unproved
        return self.deciders[case.op](self, case, account)

    def answer(self, case: Case, entry: Entry, account: Account) -> bytes:
        """The response's bytes for what was posted."""
        purses, currency = case.edition.purses, self.settings.currency
        return self.answerers[case.op](case.op, case.partition.number, entry, account, purses, currency)

    def pool_of(self, case: Case, account: Account) -> bytes:
        """The pool that a till's command is for instead of `account`; empty where the account itself is.

        What names an earlier transaction stays where that transaction is; everything else goes to the pool
        that the account belonged to when it occurred. A blocked account may not spend from its pool either,
        and staff who name an account by its id mean that account.
        """
        if not account.pools or case.op not in _POOLED:
            return b""
        if account.status is Status.BLOCKED and case.op in _SPENDING:
            return b""
        if case.op in _BY_IDENTIFIER and not case.command.digest:
            return b""
        if case.op is Op.DECIDE_ADJUSTMENT and account.proposal(case.ask.proposal.sequence):
            return b""
        number = case.partition.number
        if case.op in (Op.REVERSE, Op.GET_TRANSACTION):
            wanted = case.ask.original_request_id if case.op is Op.REVERSE else case.ask.request_id
            record = case.work.request(number, case.command.scope, wanted)
            if record is not None:
                return b""
        elif case.op in _REFERRING:
            ref = getattr(case.ask, "original", None) or case.ask.authorization
            stored = case.work.entry(number, ref.sequence) if ref.partition == number else None
            if stored is not None and stored.entry.account_id == account.account_id:
                return b""
        return account.pool_at(case.occurred_ms or case.now_ms)

    def elsewhere(self, case: Case) -> bytes:
        """The partition, as a byte, where the request that a reversal names was done; empty where it is here.

        Only what was done without a member may lie elsewhere than its id leads.
        """
        if case.op is not Op.REVERSE:
            return b""
        wanted = case.ask.original_request_id
        record = case.work.request(case.partition.number, case.command.scope, wanted)
        return bytes((record.placed,)) if record is not None and record.placed >= 0 else b""

    def evidence(self, account_id: bytes, command: Command, fault: Exception) -> Quarantine:
        """What is kept of a fault: its kind and place and which request met it, never the request itself."""
        request_id, body_hash = "", b""
        with contextlib.suppress(Exception):  # reading the request may be what faulted
            parsed = self.read(command)
            if isinstance(parsed, Parsed):
                request_id, body_hash = parsed.request_id, self.digests.digest(parsed.body_hash)
        return Quarantine(
            account_id, self.clock(), describe(fault), command.op, command.scope, request_id, body_hash
        )


def describe(fault: BaseException) -> str:
    """A fault as kind and place in the code; its text may carry values, so it is left out."""
    places = []
    trace = fault.__traceback__
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(fault).__name__} at {' > '.join(places[-4:])}"[:EVIDENCE_CHARS]


def _known(record: RequestRecord, body_hash: bytes) -> Answer:
    if record.reversed_unseen:
        return refused(reversed_before())
    if record.body_hash != body_hash:
        return refused(id_reused())
    return done(record.answer)


def reversed_before() -> Refused:
    """The refusal of a request that was reversed before it arrived, or before it arrived once more."""
    return refuse(Reason.REQUEST_REVERSED, "The request was reversed before it arrived; it is not executed.")


def id_reused() -> Refused:
    """The refusal of a request id that stands for another request already."""
    return refuse(
        Reason.REQUEST_ID_REUSED,
        "This request id came before with another body. Nothing was done; use a new id.",
    )


def _waits_for_partners() -> Refused:
    return refuse(
        Reason.UNAVAILABLE,
        "The books came back from a backup, and not every partner has shown yet what members spent at its "
        "tills since. Nothing was taken; earning goes on. Try again once all partners are connected.",
    )


def _clock_behind() -> Refused:
    return refuse(
        Reason.CLOCK_BEHIND,
        "The node's clock stands before its own journal. Nothing is posted until the clock is right.",
    )
