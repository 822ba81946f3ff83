"""One batch of the coalition's commands on a shard, and what each of them wants said."""

from __future__ import annotations

from node.actors.member import MemberActor
from node.actors.partition import Partition
from node.actors.work import Work
from node.coalition.acquirer_facts import AcquirerExchange
from node.coalition.caps import Slice
from node.coalition.leases import LeaseView
from node.coalition.messages import ExchangeReason
from node.wire.coalition_records import CodeToSend, Outcome, Said, SpendNotice
from node.wire.commands import Command, encode


class Turn:
    """What all commands of a batch share. `acks` are the lanes, by partner, whose head is to be
    acknowledged.
    """

    def __init__(self, work: Work, woken: dict[MemberActor, None]) -> None:
        self.work = work
        self.woken = woken
        self.acks: dict[tuple[int, str, int], None] = {}


class Opening:
    """One command at work, with the answer that it collects."""

    def __init__(self, command: Command, partition: Partition, turn: Turn) -> None:
        self.command = command
        self.partition = partition
        self.turn = turn
        self.work = turn.work
        self.says: list[Said] = []
        self.ready: list[str] = []
        self.records: list[bytes] = []
        self.codes: list[CodeToSend] = []
        self.notices: list[SpendNotice] = []
        self.alerts: list[tuple[str, int]] = []
        self.leases: list[LeaseView] = []
        self.short: list[tuple[str, Slice]] = []
        self.exchange: AcquirerExchange | None = None
        self.refused = ExchangeReason.UNSPECIFIED
        self.due_ms = 0
        self.dispute = ""
        self.unsure = False

    @property
    def now_ms(self) -> int | None:
        """The moment to post at; None where the clock stands before the journal."""
        return self.partition.now_ms(self.work.clock_ms)

    def outcome(self) -> bytes:
        """The answer's bytes."""
        return encode(
            Outcome(
                says=tuple(self.says),
                refused=int(self.refused),
                exchange=self.exchange,
                due_ms=self.due_ms,
                ready=tuple(self.ready),
                records=tuple(self.records),
                dispute=self.dispute,
                codes=tuple(self.codes),
                notices=tuple(self.notices),
                alerts=tuple(self.alerts),
                leases=tuple(self.leases),
                short=tuple(self.short),
                unsure=self.unsure,
            )
        )
