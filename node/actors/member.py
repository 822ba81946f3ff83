"""The member actor: one account with its mailbox, its state and its life.

It takes one command at a time: known request? then the stored answer; else decide, evolve, encode, and only
then put the changes into the batch. A fault while deciding refuses that one command, sets the account aside
with the evidence kept, and leaves the batch whole. It is a plain object, so that thousands live in a shard.
"""

from __future__ import annotations

from collections import deque

import structlog

from node.actors.desk import Case, Desk, describe
from node.actors.partition import Partition
from node.actors.work import Work
from node.ledger.account import Account
from node.ledger.decision import Accepted
from node.ledger.due import settle
from node.ledger.evolve import apply_entry
from node.ledger.lots import NEVER_MS
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.transactions import Entry
from node.storage import keyspace
from node.wire import records
from node.wire.commands import MOVED, Answer, AnswerKind, Command, Op, done, refused
from node.wire.records import Quarantine, RecordUnreadable, RequestRecord

log = structlog.get_logger()


class MemberActor:
    """One account at work. `state` is None until the account has been opened.

    The actor without an account id does a partition's anonymous sales; it never has a state.
    """

    __slots__ = ("account_id", "fault", "mailbox", "partition", "saved_due_ms", "state")

    def __init__(
        self, account_id: bytes, partition: Partition, state: Account | None, fault: Quarantine | None = None
    ) -> None:
        self.account_id = account_id
        self.partition = partition
        self.state = state
        self.fault = fault
        self.mailbox: deque[tuple[int, Command]] = deque()
        self.saved_due_ms = NEVER_MS if state is None else state.due_ms

    @classmethod
    def activate(cls, work: Work, partition: Partition, account_id: bytes) -> MemberActor:
        """The actor of an account, with its state and any quarantine as the batch sees them."""
        if not account_id:
            return cls(b"", partition, None)
        number = partition.number
        state = work.get(keyspace.account_key(number, account_id))
        fault_key = keyspace.quarantine_key(number, account_id)
        fault = work.get(fault_key)
        try:
            return cls(
                account_id,
                partition,
                None if state is None else records.ACCOUNT.decode(state),
                None if fault is None else records.QUARANTINE.decode(fault),
            )
        except RecordUnreadable as unreadable:
            # One account's record must not keep the others from being served; it stays as it is stored.
            evidence = Quarantine(account_id, partition.clock_ms, describe(unreadable), 0, "", "", b"")
            work.put(fault_key, records.QUARANTINE.encode(evidence))
            return cls(account_id, partition, None, evidence)

    def drain(self, desk: Desk, work: Work, answers: list[Answer | None]) -> None:
        """Handles every command in the mailbox, in the order in which they came."""
        while self.mailbox:
            place, command = self.mailbox.popleft()
            answers[place] = self.handle(command, desk, work)

    def handle(self, command: Command, desk: Desk, work: Work) -> Answer:
        """One command from beginning to end. Raises only what the store raises."""
        try:
            if self.fault is not None and not self._released(work) and command.op != Op.GET_MEMBER:
                return refused(_set_aside())
            return self._handle(command, desk, work)
        except desk.storage_faults:
            raise
        except Exception as fault:
            if not self.account_id:  # an anonymous sale has no account to set aside
                log.error("sale_faulted", fault=describe(fault))
                return refused(internal_fault())
            self._quarantine(command, desk, work, fault)
            return refused(_set_aside())

    def usable(self, work: Work) -> bool:
        """Whether the account is not set aside, or was put back to work by staff."""
        return self.fault is None or self._released(work)

    def _released(self, work: Work) -> bool:
        """Whether staff put the account back to work; then it begins afresh from what is stored."""
        number = self.partition.number
        if work.get(keyspace.quarantine_key(number, self.account_id)) is not None:
            return False
        self.fault = None
        stored = work.get(keyspace.account_key(number, self.account_id))
        self.state = None if stored is None else records.ACCOUNT.decode(stored)
        return True

    def _handle(self, command: Command, desk: Desk, work: Work) -> Answer:
        case = desk.open_case(command, self.partition, work)
        if not isinstance(case, Case):
            return case
        op = case.op
        state = self.state
        if state is None:
            if self.account_id and op not in desk.opening:
                return refused(unknown_member())
            state = Account(self.account_id)
        if command.digest and not state.linked(command.digest, case.occurred_ms):
            return MOVED
        pool_id = desk.pool_of(case, state)
        if pool_id:
            return Answer(AnswerKind.POOLED, pool_id + desk.hand_on_card(desk, case, state))
        elsewhere = b"" if self.account_id else desk.elsewhere(case)
        if elsewhere:
            return Answer(AnswerKind.ELSEWHERE, elsewhere)
        if op in desk.inquiries:
            due = settle(state, case.now_ms)
            view = state if due is None else apply_entry(state, self._entry(due, case))
            found = desk.judge_card(desk, case, view) or desk.inquiries[op](desk, case, view)
            return refused(found) if isinstance(found, Refused) else done(found)
        if state.due_ms <= case.now_ms:
            self.settle_due(case.now_ms, work, desk)
            state = self.state or state
        decision = desk.decide(case, state)
        if isinstance(decision, Refused):
            return refused(decision)
        return self._post(decision, case, state, desk, work)

    def _post(self, decision: Accepted, case: Case, state: Account, desk: Desk, work: Work) -> Answer:
        entry = self._entry(decision, case)
        after = apply_entry(state, entry)
        body = desk.answer(case, entry, after)
        # From here on nothing can be refused and nothing of this account can fault.
        self.partition.post(work, entry)
        if self.account_id:
            if self.state is None:
                self.partition.accounts += 1
            self.state = after
        for key, value in case.puts:
            if value:
                work.put(key, value)
            else:
                work.delete(key)
        record = RequestRecord(case.body_hash, entry.sequence, case.occurred_ms, case.now_ms, body)
        work.put(case.request_key, records.REQUEST.encode(record))
        return done(body)

    def _entry(self, decision: Accepted, case: Case) -> Entry:
        command, state = case.command, self.state
        return Entry(
            self.partition.sequence + 1,
            decision.kind,
            self.account_id,
            case.now_ms,
            case.occurred_ms,
            command.author,
            case.request_id,
            case.edition.version,
            0 if state is None else state.last_sequence,
            decision.events,
            command.trace_id,
        )

    def settle_due(self, now_ms: int, work: Work, desk: Desk) -> bool:
        """Posts what is due by itself at `now_ms`; says whether anything was."""
        if self.fault is not None and not self._released(work):
            return False
        if self.state is None:
            return False
        due = settle(self.state, now_ms)
        if due is None:
            return False
        version = desk.programmes.at(now_ms).version
        sequence, previous = self.partition.sequence + 1, self.state.last_sequence
        entry = Entry(
            sequence, due.kind, self.account_id, now_ms, now_ms, "", "", version, previous, due.events
        )
        after = apply_entry(self.state, entry)
        self.partition.post(work, entry)
        self.state = after
        return True

    def sweep(self, now_ms: int, work: Work, desk: Desk) -> bool:
        """Posts what is due without anybody asking; a fault sets the account aside, as in a command."""
        try:
            return self.settle_due(now_ms, work, desk)
        except desk.storage_faults:
            raise
        except Exception as fault:
            nobodys = Command(Op.SWEEP, self.partition.number, self.account_id, b"", "", "", "", "", b"")
            self._quarantine(nobodys, desk, work, fault)
            return False

    def save(self, work: Work) -> None:
        """Puts the account's state, and its place in the due index, into the batch."""
        if self.state is None:
            return
        number = self.partition.number
        work.put(keyspace.account_key(number, self.account_id), records.ACCOUNT.encode(self.state))
        due_ms = self.state.due_ms
        if due_ms != self.saved_due_ms:
            if self.saved_due_ms != NEVER_MS:
                work.delete(keyspace.due_key(number, self.saved_due_ms, self.account_id))
            if due_ms != NEVER_MS:
                work.put(keyspace.due_key(number, due_ms, self.account_id), b"\x01")
            self.saved_due_ms = due_ms

    def set_aside(self, command: Command, desk: Desk, work: Work, fault: Exception) -> None:
        """Sets the account aside after a fault in a command that its mailbox does not carry."""
        self._quarantine(command, desk, work, fault)

    def _quarantine(self, command: Command, desk: Desk, work: Work, fault: Exception) -> None:
        """Sets the account aside: its state stays as it was before the command that met the fault.

        What is known of an earlier fault is kept: it is nearer to the cause.
        """
        if self.fault is not None:
            return
        evidence = desk.evidence(self.account_id, command, fault)
        self.fault = evidence
        log.error(
            "account_quarantined", operation=command.op, trace_id=command.trace_id, fault=evidence.fault
        )
        key = keyspace.quarantine_key(self.partition.number, self.account_id)
        work.put(key, records.QUARANTINE.encode(evidence))


def _set_aside() -> Refused:
    return refuse(
        Reason.ACCOUNT_QUARANTINED,
        "The account was set aside after a fault in the node. Its balances are kept as they were; "
        "the merchant's staff can look at it and release it.",
    )


def internal_fault() -> Refused:
    """The refusal of a command that met a fault which concerns no account."""
    return refuse(
        Reason.INTERNAL, "A fault inside the node; nothing was recorded. Ask what became of it, then retry."
    )


def unknown_member() -> Refused:
    """The refusal of an identifier that nobody carries."""
    return refuse(Reason.MEMBER_NOT_FOUND, "No member carries this identifier. Nothing was changed.")
