"""Where a member is reached, as the member service tells it."""

from __future__ import annotations

from node.proto.vafa.common.v1 import identifier_pb2
from node.proto.vafa.member.v1 import member_service_pb2


def contact_asked(account_id: bytes) -> bytes:
    """A GetMemberRequest about an account."""
    return member_asked(identifier_pb2.IDENTIFIER_KIND_ACCOUNT, account_id.hex())


def member_asked(kind: int, value: str) -> bytes:
    """A GetMemberRequest about whoever carries an identifier."""
    identifier = identifier_pb2.Identifier(kind=kind, value=value)  # type: ignore[arg-type]  # the protos' own numbers
    return member_service_pb2.GetMemberRequest(identifier=identifier).SerializeToString()


def account_id_from(response: bytes) -> str:
    """The account of a GetMemberResponse, in hexadecimal."""
    return member_service_pb2.GetMemberResponse.FromString(response).account_id


def contact_from(response: bytes) -> tuple[str, str]:
    """The phone number for messages, and the language; each empty where it is not known."""
    person = member_service_pb2.GetMemberResponse.FromString(response).person
    return person.phone, person.locale
