"""Enrolling finished cards at a running node, through its member service."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from cards.jobs import CardEnrolment, EnrolmentPostponed, EnrolmentRefused
from cards.jobs.manifest import Accounts
from cards.keys import CardIdentity
from node.cli.connection import CallFailed, connected
from node.config import ConfigError
from node.identity.keys import KeyUnusable
from node.proto.vafa.common.v1 import identifier_pb2
from node.proto.vafa.member.v1 import chip_card_pb2
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.member.v1.member_service_pb2_grpc import MemberServiceStub

CALL_SECONDS = 30.0
_POSTPONED = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.ABORTED,
    }
)
"""After these the same request may have been done, or may yet be."""


class NodeEnroller:
    """One request to open or find the account, one to note the chip; both with ids that a retry repeats."""

    def __init__(self, config: Path, address: str, certificate: Path | None) -> None:
        self._connect: Callable[[], Any] = lambda: connected(config, address, certificate)

    def enrol(self, card: CardEnrolment) -> str:
        """Link the card's number and note its chip; gives the account's id."""
        try:
            with self._connect() as channel:
                try:
                    return enrol_with(MemberServiceStub(channel), card)
                except grpc.RpcError as error:
                    if error.code() not in _POSTPONED:
                        raise EnrolmentRefused(str(error.details())) from None
                    raise
        except (CallFailed, KeyUnusable) as failed:
            raise EnrolmentPostponed(f"{failed} The card is kept as made; run the job again.") from None

    def retire(self, identity: CardIdentity, key_version: int) -> None:
        """Tell the node that a card is out of use for good, so that it is refused there by name."""
        try:
            with self._connect() as channel:
                retire_with(MemberServiceStub(channel), identity, key_version)
        except (CallFailed, ConfigError, KeyUnusable) as failed:
            raise EnrolmentPostponed(str(failed)) from None


def retire_with(members: Any, identity: CardIdentity, key_version: int) -> None:
    """The calls themselves. The key version is the node's own where it knows the chip: that never goes back.

    Nothing has to be told of a number that nobody carries, or that has a newer chip by now.
    """
    number = identifier_pb2.Identifier(kind=identifier_pb2.IDENTIFIER_KIND_CARD, value=identity.alias)
    try:
        member = members.GetMember(pb.GetMemberRequest(identifier=number), timeout=CALL_SECONDS)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return
        raise
    known = next((one.card for one in member.cards if one.number == identity.alias), None)
    if known is not None and known.chip_uid != identity.uid:
        return
    chip = chip_card_pb2.ChipCard(
        profile=chip_card_pb2.ChipProfile.ValueType(identity.profile.value),
        chip_uid=identity.uid,
        key_version=max(key_version, known.key_version if known is not None else 0),
        state=chip_card_pb2.CHIP_STATE_RETIRED,
    )
    request = pb.RecordCardRequest(request_id=f"retire-{uuid.uuid4().hex}", identifier=number, card=chip)
    request.occurred_time.GetCurrentTime()
    members.RecordCard(request, timeout=CALL_SECONDS)


def enrol_with(members: Any, card: CardEnrolment) -> str:
    """The calls themselves; `members` is a stub of the member service."""
    number = identifier_pb2.Identifier(kind=identifier_pb2.IDENTIFIER_KIND_CARD, value=card.identity.alias)
    account = card.account or ("" if card.renewed else _opened(members, card, number))
    if card.account and not card.renewed:
        link = pb.LinkIdentifierRequest(
            request_id=f"{card.request_id}-link",
            identifier=identifier_pb2.Identifier(
                kind=identifier_pb2.IDENTIFIER_KIND_ACCOUNT, value=card.account
            ),
            new_identifier=number,
        )
        link.occurred_time.FromMilliseconds(card.occurred_ms)
        members.LinkIdentifier(link, timeout=CALL_SECONDS)
    note = pb.RecordCardRequest(
        request_id=f"{card.request_id}-chip",
        identifier=number,
        card=chip_card_pb2.ChipCard(
            profile=chip_card_pb2.ChipProfile.ValueType(card.identity.profile.value),
            chip_uid=card.identity.uid,
            key_version=card.key_version,
            state=chip_card_pb2.CHIP_STATE_ACTIVE,
        ),
    )
    note.occurred_time.FromMilliseconds(card.occurred_ms)
    members.RecordCard(note, timeout=CALL_SECONDS)
    return account


def _opened(members: Any, card: CardEnrolment, number: identifier_pb2.Identifier) -> str:
    """A new account with the card's number: a person's of whom nothing is known yet, or a bearer's."""
    bearer = card.accounts is Accounts.BEARER
    opening = pb.EnrolRequest(
        request_id=f"{card.request_id}-open",
        kind=pb.ACCOUNT_KIND_BEARER if bearer else pb.ACCOUNT_KIND_PERSONAL,
        identifiers=[number],
    )
    opening.occurred_time.FromMilliseconds(card.occurred_ms)
    opened = members.Enrol(opening, timeout=CALL_SECONDS)
    account_id: str = opened.account_id
    return account_id
