"""Certificates over RPC: one-time codes, enrolment on a port of its own, renewal, revocation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from cryptography import x509

from node.actors.control import Control
from node.identity.caller import Role, caller_from_certificate
from node.proto.vafa.terminal.v1 import terminal_service_pb2 as pb
from node.proto.vafa.terminal.v1 import terminal_service_pb2_grpc
from simulators.enrolment import TillCertificate, new_key_and_request
from simulators.faults.methods import GUARDED
from simulators.operations import OperationWriter
from tests.rpc.shop import Shop, refused, sale

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(one_shop: Shop) -> AsyncIterator[grpc.aio.Channel]:
    """The enrolment port, as a terminal without a certificate reaches it."""
    authority = one_shop.node.node.secrets.authority.certificate_pem
    credentials = grpc.ssl_channel_credentials(authority)
    async with grpc.aio.secure_channel(one_shop.node.addresses.enrol_address, credentials) as channel:
        yield channel


async def code_for(shop: Shop, **identity: object) -> str:
    """A one-time code from the node's administrator."""
    who = pb.CallerIdentity(**identity)  # type: ignore[arg-type]  # numbers of the protos, some unknown
    answer = await shop.admin.terminals.CreateEnrolment(pb.CreateEnrolmentRequest(identity=who))
    return answer.code


async def redeem(
    channel: grpc.aio.Channel, code: str, csr_pem: bytes | None = None
) -> tuple[pb.RedeemCodeResponse, TillCertificate]:
    """Trades a code for a certificate."""
    key, request = new_key_and_request()
    answer = await terminal_service_pb2_grpc.EnrolmentServiceStub(channel).RedeemCode(
        pb.RedeemCodeRequest(code=code, csr_pem=request if csr_pem is None else csr_pem)
    )
    return answer, TillCertificate(answer.authority_pem, answer.certificate_pem, key)


async def test_a_till_trades_its_code_for_a_certificate_and_sells_with_it(
    one_shop: Shop, door: grpc.aio.Channel
) -> None:
    code = await code_for(one_shop, role=pb.ROLE_TERMINAL, store_id="north", id="till-90")
    answer, certificate = await redeem(door, code)
    assert (answer.identity.store_id, answer.identity.id) == ("north", "till-90")
    card = await one_shop.member()
    await one_shop.line_with(certificate).send(one_shop.write.accrual(card, sale(500)))
    assert await one_shop.points(card) == 5


async def test_a_code_may_be_typed_in_any_script(one_shop: Shop, door: grpc.aio.Channel) -> None:
    code = await code_for(one_shop, role=pb.ROLE_TERMINAL, store_id="north", id="till-91")
    persian = code.translate(str.maketrans("0123456789 ", "۰۱۲۳۴۵۶۷۸۹-"))
    await redeem(door, persian)


async def test_a_code_is_good_once(one_shop: Shop, door: grpc.aio.Channel) -> None:
    code = await code_for(one_shop, role=pb.ROLE_TERMINAL, store_id="north", id="till-92")
    outcomes = await asyncio.gather(*(redeem(door, code) for _ in range(6)), return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    with refused("ENROLMENT_CODE_INVALID", grpc.StatusCode.PERMISSION_DENIED) as refusal:
        await redeem(door, code)
    assert refusal[0].metadata["problem"] == "USED"


async def test_five_wrong_tries_void_a_code_also_when_they_come_at_once(
    one_shop: Shop, door: grpc.aio.Channel
) -> None:
    code = await code_for(one_shop, role=pb.ROLE_TERMINAL, store_id="north", id="till-93")
    wrong = code[:-1] + str((int(code[-1]) + 1) % 10)
    outcomes = await asyncio.gather(*(redeem(door, wrong) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(outcome, grpc.aio.AioRpcError) for outcome in outcomes)
    with refused("ENROLMENT_CODE_INVALID") as refusal:
        await redeem(door, code)
    assert refusal[0].metadata["problem"] == "TOO_MANY_TRIES"


async def test_a_request_that_is_refused_does_not_use_up_the_code(
    one_shop: Shop, door: grpc.aio.Channel
) -> None:
    code = await code_for(one_shop, role=pb.ROLE_TERMINAL, store_id="north", id="till-94")
    with refused("INVALID_ARGUMENT"):
        await redeem(door, code, b"no request")
    await redeem(door, code)


async def test_what_was_never_a_code_is_refused(door: grpc.aio.Channel) -> None:
    for text in ("", "1234", "x" * 500, "9999 9999 9999 9999", "\x00", "１２３４"):
        with refused("ENROLMENT_CODE_INVALID"):
            await redeem(door, text)


async def test_the_enrolment_port_serves_enrolment_and_nothing_else(
    one_shop: Shop, door: grpc.aio.Channel
) -> None:
    before = await one_shop.entries()
    for method in GUARDED:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await method.call(door, b"")
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED, method
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await redeem(one_shop.till.channel, "1234 5678 9012 3456")
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED, "and the main port has no open door"
    assert await one_shop.entries() == before


async def test_a_gateway_acts_by_its_newest_list_also_after_a_restart(one_shop: Shop) -> None:
    shop = one_shop
    until_now: tuple[str, ...] = ()
    for days_ago in range(9, -1, -1):  # serials are random: ten of them are hardly ever in order of time
        until_now = ("north/till-2", f"north/till-{days_ago + 10}")
        certificate = shop.node.new_certificate(
            Role.GATEWAY, "switch-2", terminals=until_now, issued_days_ago=days_ago
        )
    gateway = shop.line_with(certificate)
    for terminal in until_now:
        write = OperationWriter(acting_for=terminal, clock=shop.node.now_ms)
        await gateway.send(write.accrual(None, sale(100)))
    write = OperationWriter(acting_for="north/till-11", clock=shop.node.now_ms)
    with refused("TERMINAL_NOT_ALLOWED"):
        await gateway.send(write.accrual(None, sale(100)))
    control = shop.node.node.control
    reread = Control(control._store)
    assert reread.terminals_of("switch-2") == control.terminals_of("switch-2") == frozenset(until_now)


async def test_a_certificate_is_renewed_by_its_owner_for_itself_and_the_old_one_stays_good(
    one_shop: Shop,
) -> None:
    old = one_shop.node.certificate(Role.TILL, "till-95", "north")
    line = one_shop.line_with(old)
    key, request = new_key_and_request()
    answer = await line.terminals.RenewCertificate(pb.RenewCertificateRequest(csr_pem=request))
    renewed = TillCertificate(old.authority_pem, answer.certificate_pem, key)
    first, second = (caller_from_certificate(one.certificate_pem) for one in (old, renewed))
    assert first == second
    assert first.serial != second.serial
    for certificate in (old, renewed):
        await one_shop.line_with(certificate).send(one_shop.write.accrual(None, sale(100)))
    with refused("INVALID_ARGUMENT"):
        await line.terminals.RenewCertificate(pb.RenewCertificateRequest(csr_pem=b"\x00" * 20_000))


async def test_revoking_a_caller_revokes_all_of_its_certificates_and_only_its(one_shop: Shop) -> None:
    shop = one_shop
    for _ in range(2):
        gone = shop.line_with(shop.node.new_certificate(Role.TILL, "till-96", "north"))
    neighbour = shop.line_with(shop.node.new_certificate(Role.TILL, "till-96", "south"))
    who = pb.CallerIdentity(role=pb.ROLE_TERMINAL, store_id="north", id="till-96")
    answer = await shop.admin.terminals.RevokeCaller(pb.RevokeCallerRequest(identity=who))
    assert answer.revoked_certificates == 2
    with refused("UNAUTHENTICATED"):
        await gone.send(shop.write.accrual(None, sale(100)))
    await neighbour.send(shop.write.accrual(None, sale(100)))
    again = await shop.admin.terminals.RevokeCaller(pb.RevokeCallerRequest(identity=who))
    assert again.revoked_certificates == 0


async def test_everybody_with_a_certificate_is_listed_once_in_pages(one_shop: Shop) -> None:
    staff, serials, token = one_shop.line(Role.STAFF, "maryam"), [], ""
    while True:
        page = await staff.terminals.ListCallers(pb.ListCallersRequest(page_size=3, page_token=token))
        serials += [caller.serial for caller in page.callers]
        token = page.next_page_token
        if not token:
            break
    assert serials == sorted(set(serials))
    own = x509.load_pem_x509_certificate(
        one_shop.node.certificate(Role.STAFF, "maryam").certificate_pem
    ).serial_number
    assert format(own, "x") in {serial.lstrip("0") for serial in serials}


@pytest.mark.parametrize(
    "identity",
    [
        {},
        {"role": 99, "id": "x"},
        {"role": pb.ROLE_TERMINAL, "id": "till"},
        {"role": pb.ROLE_TERMINAL, "id": "till/../x", "store_id": "north"},
        {"role": pb.ROLE_TERMINAL, "id": "صندوق", "store_id": "north"},
        {"role": pb.ROLE_STAFF, "id": "a", "store_id": "north"},
        {"role": pb.ROLE_STAFF, "id": "a" * 41},
        {"role": pb.ROLE_TERMINAL, "id": "t", "store_id": "n", "terminals": ["n/t"]},
        {"role": pb.ROLE_GATEWAY, "id": "g", "terminals": ["north"]},
        {"role": pb.ROLE_GATEWAY, "id": "g", "terminals": ["north/*"]},
        {"role": pb.ROLE_GATEWAY, "id": "g", "terminals": ["n/t"] * 2_001},
    ],
)
async def test_a_code_is_made_only_for_somebody_who_can_be(
    one_shop: Shop, identity: dict[str, object]
) -> None:
    with refused("INVALID_ARGUMENT"):
        await code_for(one_shop, **identity)


@pytest.mark.parametrize("ttl_seconds", [-1, 604_801, 2**31 - 1])
async def test_a_code_is_good_for_a_week_at_most(one_shop: Shop, ttl_seconds: int) -> None:
    who = pb.CallerIdentity(role=pb.ROLE_STAFF, id="maryam")
    with refused("INVALID_ARGUMENT"):
        await one_shop.admin.terminals.CreateEnrolment(
            pb.CreateEnrolmentRequest(identity=who, ttl_seconds=ttl_seconds)
        )
