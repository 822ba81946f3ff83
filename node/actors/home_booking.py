"""Accounts of this node's as the coalition's commands find them, and the entries that they post there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.actors.member import MemberActor
from node.actors.turn import Opening
from node.coalition.card_messages import CardStep
from node.coalition.envelopes import Message
from node.coalition.messages import Accrue, Challenge, Inquire, Reserve
from node.ledger.account import Account, Status
from node.ledger.decision import Accepted
from node.ledger.evolve import apply_entry
from node.ledger.transactions import Entry
from node.wire.coalition_records import POOL_HOLDER
from node.wire.commands import MOVED, Answer, AnswerKind, Command

if TYPE_CHECKING:
    from node.actors.abroad import Abroad

_BY_MEMBER = (Reserve, Accrue, Challenge, Inquire)


class Seat:
    """An account, or the place of one that nobody has: `account` is then None.

    `prover_id` is the account whose proofs count: the member's own where a pool pays.
    """

    def __init__(
        self,
        account_id: bytes = b"",
        member: MemberActor | None = None,
        usable: bool = True,
        prover_id: bytes = b"",
    ) -> None:
        self.account_id = account_id
        self.prover_id = prover_id or account_id
        self.member = member
        self.usable = usable

    @property
    def account(self) -> Account | None:
        """The account's state; None where it was never opened."""
        return self.member.state if self.member else None


NOBODY = Seat()


def seat_of(abroad: Abroad, opening: Opening, account_id: bytes) -> Seat:
    """The account of that id in the command's partition, with what was due of it done."""
    if not account_id:
        return NOBODY
    member = abroad.members(opening.partition, account_id, opening.work)
    usable = member.usable(opening.work)
    now_ms = opening.now_ms
    if usable and now_ms is not None and member.state is not None and member.state.due_ms <= now_ms:
        member.settle_due(now_ms, opening.work, abroad.desk)
        opening.turn.woken[member] = None
    sent_on = opening.command.extra if opening.command.account_id == account_id else b""
    prover_id = POOL_HOLDER.decode(sent_on).account_id if sent_on else account_id
    return Seat(account_id, member, usable, prover_id)


def elsewhere(seat: Seat, command: Command, message: Message) -> Answer | None:
    """Where a message about a member belongs, if not here: the card is somebody else's, or the points a
    pool's.

    As at home: what names the member is for the pool that the account belonged to when it occurred, unless
    the account is blocked and the message spends.
    """
    account, body = seat.account, message.body
    if account is None:
        return None
    terms = getattr(body, "terms", None)
    at_ms: int = (terms and terms.occurred_time_ms) or message.header.issue_time_ms
    if command.digest and not account.linked(command.digest, at_ms):
        return MOVED
    if isinstance(body, CardStep):  # a card is its own account's, whoever pays
        return None
    if not account.pools or (account.status is Status.BLOCKED and not isinstance(body, Accrue)):
        return None
    pool_id = account.pool_at(at_ms)
    return Answer(AnswerKind.POOLED, pool_id) if pool_id else None


class Posting:
    """An entry that is ready to be posted: whatever could fault has been done."""

    def __init__(
        self,
        abroad: Abroad,
        opening: Opening,
        seat: Seat,
        booking: Accepted,
        partner_id: str,
        exchange_id: bytes,
    ) -> None:
        member, now_ms = seat.member, opening.now_ms
        assert member is not None, "only an account is booked on"
        assert now_ms is not None
        self._opening, self._member = opening, member
        before = member.state or Account(seat.account_id)
        self.entry = Entry(
            opening.partition.sequence + 1,
            booking.kind,
            seat.account_id,
            now_ms,
            now_ms,
            f"partner:{partner_id}",
            exchange_id.hex(),
            abroad.desk.programmes.at(now_ms).version,
            before.last_sequence,
            booking.events,
            opening.command.trace_id,
        )
        self._after = apply_entry(before, self.entry)

    def post(self) -> None:
        """Puts the entry into the journal and the account into the batch."""
        partition, member = self._opening.partition, self._member
        partition.post(self._opening.work, self.entry)
        if member.state is None:
            partition.accounts += 1
        member.state = self._after
        self._opening.turn.woken[member] = None
