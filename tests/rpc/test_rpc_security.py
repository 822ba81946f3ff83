"""Who gets in, who may do what: every method of every service, called by everybody who must not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor

from node.identity.ca import issue_client_certificate, new_authority, signing_request
from node.identity.caller import Caller, Role
from node.identity.keys import new_tls_key, private_key_pem
from node.proto.vafa.common.v1 import identifier_pb2
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.pos.v1 import earning_pb2, inquiry_pb2
from node.rpc.roles import OPEN, ROLES
from simulators.enrolment import TillCertificate, new_key_and_request
from simulators.faults.methods import ALL, ENROLLING, GUARDED, Method
from simulators.local_node import MERCHANT, new_card
from simulators.operations import OperationWriter
from tests.rpc.shop import DAY_MS, Shop, refused, sale

pytestmark = pytest.mark.asyncio(loop_scope="module")

each_guarded = pytest.mark.parametrize("method", GUARDED, ids=str)
_HANDSHAKE_FAILED = (grpc.StatusCode.UNAVAILABLE,)


# --- what is guarded --------------------------------------------------------------------------------


async def test_every_method_of_every_service_has_its_roles_and_nothing_else_has() -> None:
    assert {method.path for method in GUARDED} == set(ROLES)
    assert all(roles for roles in ROLES.values())
    assert ENROLLING
    assert {method for method in ALL if method.path.startswith(OPEN)} == set(ENROLLING)


@each_guarded
async def test_every_method_is_served(one_shop: Shop, method: Method) -> None:
    line = one_shop.line(method.allowed[0], "caller", "north" if method.allowed[0] is Role.TILL else "")
    code = grpc.StatusCode.OK
    try:
        await method.call(line.channel, _harmless(method))
    except grpc.aio.AioRpcError as error:
        code = error.code()
    assert code not in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


def _harmless(method: Method) -> bytes:
    """An empty message, but a feed that ends."""
    return b"\x10\x01" if method.path.endswith("/Follow") else b""


# --- who gets in ------------------------------------------------------------------------------------


def _no_certificate(shop: Shop) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(shop.node.node.secrets.authority.certificate_pem)


def _of_a_foreign_authority(shop: Shop) -> grpc.ChannelCredentials:
    """Of a CA with the same name and another key, as another node of the same merchant id would issue."""
    foreign = new_authority(MERCHANT, now_ms=shop.node.now_ms())
    key, request = new_key_and_request()
    admin = Caller(Role.ADMIN, MERCHANT, "admin")
    issued = issue_client_certificate(foreign, request, admin, now_ms=shop.node.now_ms(), validity_days=9)
    return grpc.ssl_channel_credentials(
        shop.node.node.secrets.authority.certificate_pem, private_key=key, certificate_chain=issued.pem
    )


def _expired(shop: Shop) -> grpc.ChannelCredentials:
    return shop.node.new_certificate(Role.ADMIN, "admin", issued_days_ago=31).channel_credentials()


@pytest.mark.parametrize("credentials", [_no_certificate, _of_a_foreign_authority, _expired])
async def test_without_a_good_certificate_no_method_can_be_reached(
    one_shop: Shop, credentials: Callable[[Shop], grpc.ChannelCredentials]
) -> None:
    before = await one_shop.entries()
    async with grpc.aio.secure_channel(one_shop.node.addresses.address, credentials(one_shop)) as channel:
        for method in GUARDED:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await method.call(channel, _harmless(method))
            assert error.value.code() in _HANDSHAKE_FAILED, method
    assert await one_shop.entries() == before


async def test_a_plaintext_caller_does_not_get_through_to_a_node_with_tls(one_shop: Shop) -> None:
    async with grpc.aio.insecure_channel(one_shop.node.addresses.address) as channel:
        for method in GUARDED:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await method.call(channel, _harmless(method))
            assert error.value.code() in _HANDSHAKE_FAILED, method


async def test_a_certificate_of_another_merchant_is_refused_even_if_this_authority_signed_it(
    one_shop: Shop,
) -> None:
    authority, key = one_shop.node.node.secrets.authority, new_tls_key()
    stranger = Caller(Role.ADMIN, "shop-2", "admin")
    issued = issue_client_certificate(
        authority, signing_request(key), stranger, now_ms=one_shop.node.now_ms(), validity_days=9
    )
    line = one_shop.line_with(TillCertificate(authority.certificate_pem, issued.pem, private_key_pem(key)))
    for method in GUARDED:
        with refused("UNAUTHENTICATED", grpc.StatusCode.UNAUTHENTICATED):
            await method.call(line.channel, _harmless(method))


async def test_a_revoked_certificate_is_refused_at_once_also_on_a_connection_that_stands(
    one_shop: Shop,
) -> None:
    line = one_shop.line(Role.TILL, "stolen", "north")
    card = await one_shop.member()
    await line.send(one_shop.write.accrual(card, sale(500)))
    assert one_shop.node.node.control.revoke(Caller(Role.TILL, MERCHANT, "stolen", "north")) == 1
    again = one_shop.line(Role.TILL, "stolen", "north")
    before = await one_shop.entries()
    for method in GUARDED:
        for channel in (line.channel, again.channel):
            with refused("UNAUTHENTICATED", grpc.StatusCode.UNAUTHENTICATED) as refusal:
                await method.call(channel, _harmless(method))
            assert refusal[0].metadata["problem"] == "REVOKED"
    assert await one_shop.entries() == before


async def test_a_certificate_that_expires_while_its_connection_stands_is_refused_from_then_on(
    one_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = one_shop.line(Role.TILL, "old", "north")
    card = await one_shop.member()
    await line.send(one_shop.write.accrual(card, sale(500)))
    later_ms = one_shop.node.now_ms() + 31 * DAY_MS

    class Later:
        perf_counter = staticmethod(time.perf_counter)

        @staticmethod
        def time_ns() -> int:
            return later_ms * 1_000_000

    monkeypatch.setattr("node.rpc.admission.time", Later)
    with refused("UNAUTHENTICATED") as refusal:
        await line.send(one_shop.write.accrual(card, sale(500)))
    assert refusal[0].metadata["problem"] == "EXPIRED"
    monkeypatch.undo()
    assert await one_shop.points(card) == 5


# --- who may do what --------------------------------------------------------------------------------


@each_guarded
async def test_a_role_that_may_not_call_a_method_is_refused_by_name_whatever_it_sends(
    one_shop: Shop, method: Method
) -> None:
    before = await one_shop.entries()
    for role in set(Role) - set(method.allowed):
        line = one_shop.line(role, "nosy", "north" if role is Role.TILL else "")
        for body in (_harmless(method), b"\xff" * 40):
            with refused("ROLE_NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED) as refusal:
                await method.call(line.channel, body)
            assert refusal[0].metadata["role"] == role.value
    assert await one_shop.entries() == before


async def test_a_till_may_not_act_for_another_terminal(shop: Shop) -> None:
    card = await shop.member(points=10)
    before = await shop.entries()
    for other in ("north/till-2", "south/till-1", "till-2", "../north/till-1", "*"):
        write = OperationWriter(acting_for=other, clock=shop.node.now_ms)
        with refused("TERMINAL_NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED):
            await shop.till.send(write.accrual(card, sale(100)))
        (result,) = await shop.till.submit(write.accrual(card, sale(100)))
        assert result.refusal.message
        with refused("TERMINAL_NOT_ALLOWED"):
            await shop.till.pos.Quote(
                inquiry_pb2.QuoteRequest(identifier=card, terminal_id=other, purchase=sale(100))
            )
    assert await shop.entries() == before
    assert await shop.points(card) == 10


async def test_a_till_may_name_itself(shop: Shop) -> None:
    card = await shop.member()
    for own in ("north/till-1", "till-1"):
        write = OperationWriter(acting_for=own, clock=shop.node.now_ms)
        await shop.till.send(write.accrual(card, sale(100)))
    assert await shop.points(card) == 2


async def test_a_gateway_acts_for_the_terminals_on_its_list_and_for_no_others(shop: Shop) -> None:
    certificate = shop.node.new_certificate(
        Role.GATEWAY, "switch", terminals=("north/till-7", "south/till-1")
    )
    gateway, card = shop.line_with(certificate), await shop.member()
    for listed in ("north/till-7", "south/till-1"):
        write = OperationWriter(acting_for=listed, clock=shop.node.now_ms)
        await gateway.send(write.accrual(card, sale(100)))
    before = await shop.entries()
    for other in ("north/till-1", "till-7", ""):
        write = OperationWriter(acting_for=other, clock=shop.node.now_ms)
        with refused("TERMINAL_NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED):
            await gateway.send(write.accrual(card, sale(100)))
    assert await shop.entries() == before
    assert await shop.points(card) == 2


async def test_a_till_cannot_undo_or_look_up_what_another_terminal_did(shop: Shop) -> None:
    card = await shop.member()
    operation = shop.write.accrual(card, sale(900))
    await shop.till.send(operation)
    other = shop.line(Role.TILL, "till-2", "north")
    with refused("TRANSACTION_NOT_FOUND"):
        await other.pos.GetTransaction(
            inquiry_pb2.GetTransactionRequest(
                identifier=card,
                request_id=operation.accrue.request_id,
                occurred_time=operation.accrue.occurred_time,
            )
        )
    answer = await other.send(shop.write.reversal_of(operation))
    assert not answer.undone
    assert await shop.points(card) == 9


@pytest.mark.parametrize("role", [Role.TILL, Role.GATEWAY])
async def test_an_account_id_opens_nothing_at_a_till(shop: Shop, role: Role) -> None:
    card = new_card()
    account = await shop.node.enrol(card)
    named = Identifier(kind=identifier_pb2.IDENTIFIER_KIND_ACCOUNT, value=account)
    certificate = shop.node.new_certificate(
        role,
        "guesser",
        "north" if role is Role.TILL else "",
        terminals=("north/till-9",) if role is Role.GATEWAY else (),
    )
    line = shop.line_with(certificate)
    anonymous = await shop.accrue(None, 700)
    write = OperationWriter(acting_for="north/till-9" if role is Role.GATEWAY else "", clock=shop.node.now_ms)
    before = await shop.entries()
    with refused("INVALID_IDENTIFIER"):
        await line.send(write.accrual(named, sale(100)))
    claim = _claim(write, named, anonymous.transaction_id)
    with refused("INVALID_IDENTIFIER"):
        await line.pos.ClaimPurchase(claim)
    assert await shop.entries() == before


def _claim(
    write: OperationWriter, member: Identifier, transaction_id: str
) -> earning_pb2.ClaimPurchaseRequest:
    return earning_pb2.ClaimPurchaseRequest(
        request_id=os.urandom(8).hex(),
        terminal_id=write.terminal_id,
        identifier=member,
        occurred_time=write.now(),
        transaction_id=transaction_id,
    )


# --- bytes that are no message ----------------------------------------------------------------------


@pytest.mark.parametrize("method", ALL, ids=str)
async def test_bytes_that_are_no_message_are_refused_and_change_nothing(
    one_shop: Shop, method: Method
) -> None:
    channel = await _allowed_channel(one_shop, method)
    before = await one_shop.entries()
    for body in (b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05ab"):
        if method.client_streaming:  # an item of a stream is refused by itself
            (answer,) = await method.call(channel, body)
            assert b"not a message" in answer
            continue
        with refused("INVALID_ARGUMENT", grpc.StatusCode.INVALID_ARGUMENT):
            await method.call(channel, body)
    assert await one_shop.entries() == before


def _texts(method: Method) -> list[int]:
    """The numbers of a request's own text fields."""
    fields = method.request.DESCRIPTOR.fields
    return [field.number for field in fields if field.type == FieldDescriptor.TYPE_STRING]


@pytest.mark.parametrize("method", [method for method in ALL if _texts(method)], ids=str)
async def test_a_text_that_is_not_utf_8_is_refused(one_shop: Shop, method: Method) -> None:
    number = _texts(method)[0]
    channel = await _allowed_channel(one_shop, method)
    with refused("INVALID_ARGUMENT", grpc.StatusCode.INVALID_ARGUMENT):
        await method.call(channel, bytes((number << 3 | 2, 2)) + b"\xc3\x28")


async def _allowed_channel(shop: Shop, method: Method) -> grpc.aio.Channel:
    if method in ENROLLING:
        address, authority = shop.node.addresses.enrol_address, shop.node.node.secrets.authority
        credentials = grpc.ssl_channel_credentials(authority.certificate_pem)
        return grpc.aio.secure_channel(address, credentials)
    role = method.allowed[0]
    return shop.line(role, "clumsy", "north" if role is Role.TILL else "").channel
