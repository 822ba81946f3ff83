"""The exchange bench measures what it says: a line that is as long as asked, a limit that signs and syncs."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature

from bench import exchange_limit
from bench.delay import delaying
from bench.exchange_nodes import Two
from bench.load import run_async
from bench.tls import ServerTls, write_server_tls
from node.coalition.proofs import STEP_MS, app_answer
from node.identity.ca import issue_client_certificate, new_authority
from node.identity.caller import Caller, Role
from node.identity.keys import new_tls_key
from node.proto.vafa.pos.v1 import spending_pb2
from simulators.demo.coalition.founding import Operator
from simulators.demo.coalition.merchants import TRADERS, Merchant, members_of
from simulators.demo.coalition.phones import Phones
from simulators.enrolment import TillCertificate, new_key_and_request
from simulators.launch import NodeUnderTest

ADDED_SECONDS = 0.05


def echo_once(server: socket.socket) -> None:
    """Gives one connection back what it sends until it sends no more."""
    connection, _ = server.accept()
    with connection:
        while data := connection.recv(1_000):
            connection.sendall(data)


def test_every_byte_takes_as_much_longer_as_asked_and_none_is_lost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=echo_once, args=(server,), daemon=True).start()
        with delaying(f"127.0.0.1:{server.getsockname()[1]}", ADDED_SECONDS) as address:
            host, _, port = address.partition(":")
            with socket.create_connection((host, int(port)), timeout=10) as line:
                began = time.monotonic()
                line.sendall(b"there and back")
                line.shutdown(socket.SHUT_WR)
                came = b""
                while data := line.recv(1_000):
                    came += data
                assert came == b"there and back"
                assert time.monotonic() - began >= 2 * ADDED_SECONDS


def certificates(directory: Path) -> tuple[TillCertificate, ServerTls]:
    """A caller's, and the files of a server, under one authority."""
    now_ms = time.time_ns() // 1_000_000
    authority = new_authority("bench", now_ms=now_ms)
    tls = write_server_tls(directory, authority, new_tls_key(), now_ms=now_ms)
    key_pem, request_pem = new_key_and_request()
    caller = Caller(Role.TILL, "bench", "limit", "store-1")
    issued = issue_client_certificate(authority, request_pem, caller, now_ms=now_ms, validity_days=1)
    return TillCertificate(authority.certificate_pem, issued.pem, key_pem), tls


def test_the_limit_says_as_many_messages_as_asked_over_mutual_tls(tmp_path: Path) -> None:
    certificate, tls = certificates(tmp_path)
    with exchange_limit.serving(tls) as served:
        measured = run_async(
            exchange_limit.drive(served.address, certificate, tmp_path, messages=5, in_flight=4, seconds=0.3)
        )
    assert measured.work > 0
    message_bytes = exchange_limit.SIGNATURE_BYTES + exchange_limit.BODY_BYTES
    assert (tmp_path / "limit-4").stat().st_size >= 2 * measured.work * message_bytes
    assert (tmp_path / "limit-4").stat().st_size <= 3 * (measured.work + 4) * message_bytes


def test_a_message_that_only_every_other_exchange_has_goes_after_every_other_of_the_limits(
    tmp_path: Path,
) -> None:
    certificate, tls = certificates(tmp_path)
    with exchange_limit.serving(tls) as served:
        measured = run_async(
            exchange_limit.drive(
                served.address, certificate, tmp_path, messages=4.5, in_flight=1, seconds=0.3
            )
        )
    message_bytes = exchange_limit.SIGNATURE_BYTES + exchange_limit.BODY_BYTES
    sent = (tmp_path / "limit-1").stat().st_size / message_bytes
    assert 2.5 * measured.work - 2 <= sent <= 2.5 * measured.work


async def test_a_message_whose_signature_does_not_hold_ends_the_limit(tmp_path: Path) -> None:
    side = exchange_limit.Side(tmp_path / "log")
    side.put(bytes(exchange_limit.NUMBER_BYTES))
    frame = await anext(side.frames())
    assert list(exchange_limit.verified(frame)) == [bytes(exchange_limit.NUMBER_BYTES)]
    with pytest.raises(InvalidSignature):
        list(exchange_limit.verified(frame[:-1] + b"\x01"))


def test_each_redemption_carries_an_answer_of_the_members_app_that_was_never_given_before() -> None:
    home, acquirer = (
        Merchant(
            trader, NodeUnderTest(Path(), trader.merchant_id), members_of(number, 2, 1), Phones(Path("x"))
        )
        for number, trader in enumerate(TRADERS[:2])
    )
    secrets = [(member.card, bytes((number,)) * 32) for number, member in enumerate(home.members)]
    made = Two(home, acquirer, Operator(Path()), secrets).redemptions(5)
    requests = [spending_pb2.RedeemRequest.FromString(data) for data in made]
    assert [one.identifier.value for one in requests[:2]] == [card for card, _ in secrets]
    assert len({one.proof.app_answer.nonce for one in requests}) == 5
    assert len({one.request_id for one in requests}) == 5
    answer = requests[3].proof.app_answer
    assert abs(answer.time_step - time.time_ns() // 1_000_000 // STEP_MS) <= 1
    assert answer.code == app_answer(secrets[1][1], "nile", 1, answer.nonce, answer.time_step)
