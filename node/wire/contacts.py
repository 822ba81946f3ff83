"""Where a member is reached, as the member service tells it."""

from __future__ import annotations

from node.proto.vafa.common.v1 import identifier_pb2
from node.proto.vafa.member.v1 import member_service_pb2


def contact_asked(account_id: bytes) -> bytes:
    """A GetMemberRequest about an account."""
    identifier = identifier_pb2.Identifier(
        kind=identifier_pb2.IDENTIFIER_KIND_ACCOUNT, value=account_id.hex()
    )
    return member_service_pb2.GetMemberRequest(identifier=identifier).SerializeToString()


def contact_from(response: bytes) -> tuple[str, str]:
    """The phone number for messages, and the language; each empty where it is not known."""
    person = member_service_pb2.GetMemberResponse.FromString(response).person
    return person.phone, person.locale
