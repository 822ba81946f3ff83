"""Answers to requests about members. Nothing of a person is in any that is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from google.protobuf.message import Message

from node.ledger.account import Account, Status
from node.ledger.events import Adjusted, Proposed
from node.ledger.purses import PurseDefinition
from node.ledger.transactions import Entry
from node.people.person import Person
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.wire.balances import Purses, balances, stamp, touched
from node.wire.cards import CardEntry, recorded
from node.wire.commands import Op
from node.wire.parse import transaction_id
from node.wire.persons import person_message


def answer_member(
    op: Op,
    partition: int,
    entry: Entry,
    account: Account,
    purses: Mapping[str, PurseDefinition],
    currency: str,
) -> bytes:
    """The response's bytes for a request about a member that was posted as `entry`."""
    simple = _ONLY_TIME.get(op)
    if simple is not None:
        response: Message = simple(post_time=stamp(entry.at_ms))
    else:
        response = _ANSWERS[op](partition, entry, account, purses, currency)
    return response.SerializeToString()


def _enrolled(partition: int, entry: Entry, account: Account, purses: Purses, currency: str) -> Message:
    return pb.EnrolResponse(account_id=account.account_id.hex(), post_time=stamp(entry.at_ms))


def _pool_created(partition: int, entry: Entry, account: Account, purses: Purses, currency: str) -> Message:
    return pb.CreatePoolResponse(account_id=account.account_id.hex(), post_time=stamp(entry.at_ms))


def _adjusted(partition: int, entry: Entry, account: Account, purses: Purses, currency: str) -> Message:
    name = transaction_id(partition, entry.sequence)
    done = any(isinstance(event, Adjusted) for event in entry.events)
    waiting = [event.proposal.purse for event in entry.events if isinstance(event, Proposed)]
    return pb.AdjustResponse(
        post_time=stamp(entry.at_ms),
        transaction_id=name if done else "",
        proposal_id="" if done else name,
        balances=balances(account, purses, currency, touched(entry.events) or waiting),
    )


def _decided(partition: int, entry: Entry, account: Account, purses: Purses, currency: str) -> Message:
    done = any(isinstance(event, Adjusted) for event in entry.events)
    return pb.DecideAdjustmentResponse(
        post_time=stamp(entry.at_ms),
        transaction_id=transaction_id(partition, entry.sequence) if done else "",
        balances=balances(account, purses, currency, touched(entry.events)),
    )


def _sent(partition: int, entry: Entry, account: Account, purses: Purses, currency: str) -> Message:
    return pb.TransferResponse(
        transaction_id=transaction_id(partition, entry.sequence),
        post_time=stamp(entry.at_ms),
        balances=balances(account, purses, currency, touched(entry.events)),
    )


_ONLY_TIME: dict[Op, type[Message]] = {
    Op.UPDATE_PERSON: pb.UpdatePersonResponse,
    Op.LINK_IDENTIFIER: pb.LinkIdentifierResponse,
    Op.UNLINK_IDENTIFIER: pb.UnlinkIdentifierResponse,
    Op.RECORD_CARD: pb.RecordCardResponse,
    Op.SET_PIN: pb.SetPinResponse,
    Op.RESET_PIN: pb.ResetPinResponse,
    Op.SET_BLOCK: pb.SetBlockResponse,
    Op.CLOSE_ACCOUNT: pb.CloseAccountResponse,
    Op.ERASE_PERSON: pb.ErasePersonResponse,
    Op.JOIN_POOL: pb.JoinPoolResponse,
    Op.LEAVE_POOL: pb.LeavePoolResponse,
}
_ANSWERS: dict[Op, Callable[[int, Entry, Account, Purses, str], Message]] = {
    Op.ENROL: _enrolled,
    Op.CREATE_POOL: _pool_created,
    Op.ADJUST: _adjusted,
    Op.DECIDE_ADJUSTMENT: _decided,
    Op.TRANSFER: _sent,
}


def member_shown(
    account: Account,
    partition: int,
    person: Person | None,
    purses: Purses,
    currency: str,
    quarantined: bool,
    cards: Sequence[CardEntry] = (),
    pin_state: str = "",
) -> bytes:
    """A member as staff see them; `partition` is the account's, which the names of proposals carry."""
    return pb.GetMemberResponse(
        account_id=account.account_id.hex(),
        kind=int(account.kind),  # type: ignore[arg-type]  # the protos' own numbers
        status=_status(account, quarantined),
        person=None if person is None else person_message(person),
        identifiers=[
            pb.LinkedIdentifier(
                kind=link.kind,  # type: ignore[arg-type]  # the protos' own numbers
                hint=link.hint,
                # The first owner of an identifier has had it always, which says nothing to a person.
                since_time=stamp(max(link.since_ms, account.opened_ms)),
            )
            for link in account.links
            if not link.until_ms
        ],
        balances=balances(account, purses, currency),
        pool_account_id=account.pool_id.hex(),
        proposals=[
            pb.Proposal(
                proposal_id=transaction_id(partition, waiting.proposal_id),
                purse=waiting.purse,
                units=waiting.units,
                reason=waiting.reason,
                author=waiting.author,
            )
            for waiting in account.proposals
        ],
        open_time=stamp(account.opened_ms),
        cards=[recorded(entry) for entry in cards],
        pin_state=pin_state,
    ).SerializeToString()


def _status(account: Account, quarantined: bool) -> str:
    """The gravest word that is true."""
    if quarantined:
        return "quarantined"
    return "erased" if account.erased else _STATUS[account.status]


_STATUS = {Status.ACTIVE: "active", Status.BLOCKED: "blocked", Status.CLOSED: "closed"}
