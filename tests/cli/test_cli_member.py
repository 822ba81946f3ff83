"""`vafa member` against a node that serves."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from node import config as configuration
from node.identity.ca import issue_server_certificate
from node.identity.keys import load_secrets, new_tls_key, private_key_pem
from node.people.text import isolate
from tests.cli.cli_shop import Shop, run_vafa

NewMember = Callable[[], str]


def spendable(shop: Shop, member: str, purse: str = "points") -> int:
    balances = shop.vafa("member", "balance", member, "--json").json()["balances"]
    return next(int(one["spendable"]) for one in balances if one["purse"] == purse)


def test_a_member_is_found_by_phone_in_any_digits_and_shown_in_their_own_letters(open_shop: Shop) -> None:
    enrolled = open_shop.vafa(
        *("member", "enrol", "--given-name", "سارا", "--family-name", "رضایی", "--phone", "09121110001"),
        *("--card", "6037991110000001", "--birth-date", "۱۳۶۸-۰۵-۱۲", "--locale", "fa-IR"),
        *("--consent", "sms:marketing", "--consent-text", "2026-1", "--consent-source", "فرم کاغذی"),
        *("--source", "store-1"),
    )
    assert enrolled.status == 0, enrolled.err
    by_phone = open_shop.vafa("member", "show", "phone:۰۹۱۲۱۱۱۰۰۰۱")
    assert isolate("سارا رضایی") in by_phone.out
    assert "1368-05-12 (jalali)" in by_phone.out
    assert f"sms:marketing yes to text {isolate('2026-1')}" in by_phone.out
    assert isolate("فرم کاغذی") in by_phone.out
    assert open_shop.vafa("member", "show", "card:6037991110000001").out == by_phone.out
    person = open_shop.vafa("member", "show", "phone:09121110001", "--json").json()["person"]
    assert person["given_name"] == "سارا"
    assert person["birth_date"] == {"calendar": "CALENDAR_JALALI", "date": "1368-05-12"}
    assert person["consents"][0]["granted"] is True


def test_a_change_touches_what_was_named_and_an_empty_value_takes_away(open_shop: Shop) -> None:
    open_shop.vafa(
        "member", "enrol", "--given-name", "علی", "--phone", "09121110002", "--email", "a@b.example"
    )
    changed = open_shop.vafa(
        *("member", "change", "phone:09121110002", "--email", "", "--family-name", "کاظمی"),
        *("--withdraw", "sms:marketing"),
    )
    assert changed.status == 0, changed.err
    person = open_shop.vafa("member", "show", "phone:09121110002", "--json").json()["person"]
    assert (person["given_name"], person["family_name"], person["email"]) == ("علی", "کاظمی", "")
    assert [one["granted"] for one in person["consents"]] == [False]
    nothing = open_shop.vafa("member", "change", "phone:09121110002")
    assert (nothing.status, nothing.out) == (2, "")


def test_a_referrer_is_named_as_any_member_is(open_shop: Shop, new_member: NewMember) -> None:
    open_shop.vafa("member", "enrol", "--phone", "09121110003")
    referrer = open_shop.vafa("member", "show", "phone:09121110003", "--json").json()["account_id"]
    open_shop.vafa("member", "enrol", "--phone", "09121110004", "--referrer", "phone:09121110003")
    brought = open_shop.vafa("member", "show", "phone:09121110004", "--json").json()
    assert brought["person"]["referrer_account_id"] == referrer


def test_a_lost_card_is_unlinked_and_another_linked(open_shop: Shop, new_member: NewMember) -> None:
    member = new_member()
    assert open_shop.vafa("member", "link", member, "card:6037991110000002").status == 0
    assert open_shop.vafa("member", "unlink", "card:6037991110000002").status == 0
    assert open_shop.vafa("member", "link", member, "card:6037991110000003").status == 0
    lost = open_shop.vafa("member", "show", "card:6037991110000002")
    assert (lost.status, lost.out) == (1, "")
    assert open_shop.vafa("member", "show", "card:6037991110000003", "--json").json()["account_id"] == member


def test_a_run_repeated_with_its_request_id_takes_effect_once(open_shop: Shop, new_member: NewMember) -> None:
    member = new_member()
    request_id = f"import-7-{time.time_ns() // 1_000_000}"
    adjust = ("member", "adjust", member, "--units", 40, "--reason", "sorry", "--request-id", request_id)
    first, second = open_shop.vafa(*adjust), open_shop.vafa(*adjust)
    assert first.status == 0, first.err
    assert second == first
    assert spendable(open_shop, member) == 40
    other = open_shop.vafa(*adjust[:4], 41, *adjust[5:])
    assert other.status == 1
    assert spendable(open_shop, member) == 40


@contextmanager
def answers_lost(shop: Shop) -> Iterator[str]:
    """The address of something that hands every call on to the node, and loses the node's answer."""
    config = configuration.load(shop.config_path)
    authority, key = load_secrets(config.secrets_directory).authority, new_tls_key()
    certificate = issue_server_certificate(
        authority, key.public_key(), ["127.0.0.1"], now_ms=time.time_ns() // 1_000_000, validity_days=1
    )
    admin = grpc.ssl_channel_credentials(
        authority.certificate_pem,
        (shop.home / "admin.key").read_bytes(),
        (shop.home / "admin.crt").read_bytes(),
    )
    with grpc.secure_channel(shop.served.address, admin) as channel:
        node: Any = channel

        class Losing(grpc.GenericRpcHandler):
            def service(self, details: grpc.HandlerCallDetails) -> Any:
                def lose(request: bytes, context: Any) -> bytes:
                    node.unary_unary(details.method)(request, timeout=10)
                    context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
                    raise AssertionError("abort always raises")

                return grpc.unary_unary_rpc_method_handler(lose)

        server = grpc.server(ThreadPoolExecutor(1), handlers=[Losing()])
        credentials = grpc.ssl_server_credentials([(private_key_pem(key), certificate)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(0).wait()


def test_after_a_lost_answer_the_command_says_how_to_run_it_again(
    open_shop: Shop, new_member: NewMember
) -> None:
    member = new_member()
    adjust = ("member", "adjust", member, "--units", 9, "--reason", "sorry")
    with answers_lost(open_shop) as address:
        lost = open_shop.vafa(*adjust, address=address)
        looked = open_shop.vafa("member", "balance", member, address=address)
    assert (lost.status, lost.out) == (1, "")
    assert spendable(open_shop, member) == 9
    printed = re.search(r"Run the same command again with --request-id (\S+): it takes effect once", lost.err)
    assert printed is not None, lost.err
    for _ in range(2):
        assert open_shop.vafa(*adjust, "--request-id", printed[1]).status == 0
    assert spendable(open_shop, member) == 9
    # What changes nothing has nothing to run again.
    assert looked.status == 1
    assert "--request-id" not in looked.err


def test_a_request_id_without_its_time_is_refused_before_anything_is_sent(
    open_shop: Shop, new_member: NewMember
) -> None:
    member = new_member()
    refused = open_shop.vafa(
        "member", "adjust", member, "--units", 5, "--reason", "r", "--request-id", "seven"
    )
    assert (refused.status, refused.out) == (2, "")
    assert spendable(open_shop, member) == 0


def test_a_large_adjustment_waits_for_somebody_else(open_shop: Shop, new_member: NewMember) -> None:
    member = new_member()
    asked = open_shop.vafa("member", "adjust", member, "--units", 5_000, "--reason", "خرید بزرگ")
    proposal = re.search(r"vafa member approve \S+ (\S+)", asked.out)
    assert proposal is not None, asked
    assert spendable(open_shop, member) == 0
    assert (
        f"5,000 points, asked by admin:admin: {isolate('خرید بزرگ')}"
        in open_shop.vafa("member", "show", member).out
    )
    oneself = open_shop.vafa("member", "approve", member, proposal[1])
    assert (oneself.status, oneself.out) == (1, "")
    code = open_shop.vafa("terminal", "code", "zahra", "--role", "staff", "--json").json()["code"]
    theirs = open_shop.home / "zahra.crt"
    enrolled = run_vafa(
        *("terminal", "enrol", open_shop.served.enrol_address, "--code", code),
        *("--authority", open_shop.home / "ca.crt", "--out", theirs),
    )
    assert enrolled.status == 0, enrolled.err
    approved = open_shop.vafa("member", "approve", member, proposal[1], "--certificate", theirs)
    assert approved.status == 0, approved.err
    assert spendable(open_shop, member) == 5_000


def test_units_move_between_members_and_into_a_pool(open_shop: Shop, new_member: NewMember) -> None:
    giver, taker = new_member(), new_member()
    open_shop.vafa("member", "adjust", giver, "--units", 100, "--reason", "start")
    moved = open_shop.vafa("member", "transfer", giver, taker, "--units", 30)
    assert moved.status == 0, moved.err
    assert "70 spendable" in moved.out
    pool = open_shop.vafa("member", "pool", "create", "--json").json()["account_id"]
    assert open_shop.vafa("member", "pool", "join", giver, pool).status == 0
    assert open_shop.vafa("member", "show", giver, "--json").json()["pool_account_id"] == pool
    assert open_shop.vafa("member", "pool", "leave", giver).status == 0
    assert open_shop.vafa("member", "show", giver, "--json").json()["pool_account_id"] == ""
    proof = open_shop.vafa("status", "--check", "--json").json()
    assert proof["clean"], proof


def test_a_statement_lists_the_newest_first_and_says_when_there_is_more(
    open_shop: Shop, new_member: NewMember
) -> None:
    member = new_member()
    for units in (1, 2, 3):
        open_shop.vafa("member", "adjust", member, "--units", units, "--reason", "r")
    newest = open_shop.vafa("member", "statement", member, "--limit", 2).out.splitlines()
    assert ["+3 points" in newest[0], "+2 points" in newest[1]] == [True, True]
    assert newest[2] == "There are more: --limit 4 shows them."
    everything = open_shop.vafa("member", "statement", member, "--json").json()["transactions"]
    assert len(everything) == 4  # with its opening


def test_a_blocked_account_spends_nothing_until_it_is_unblocked(
    open_shop: Shop, new_member: NewMember
) -> None:
    member, other = new_member(), new_member()
    open_shop.vafa("member", "adjust", member, "--units", 10, "--reason", "start")
    assert open_shop.vafa("member", "block", member, "--reason", "lost phone").status == 0
    assert open_shop.vafa("member", "transfer", member, other, "--units", 1).status == 1
    assert open_shop.vafa("member", "unblock", member, "--reason", "found").status == 0
    assert open_shop.vafa("member", "transfer", member, other, "--units", 1).status == 0


def test_an_account_with_value_is_closed_only_when_the_value_may_lapse(
    open_shop: Shop, new_member: NewMember
) -> None:
    member = new_member()
    open_shop.vafa("member", "adjust", member, "--units", 10, "--reason", "start")
    kept = open_shop.vafa("member", "close", member, "--reason", "moved away")
    assert (kept.status, kept.out) == (1, "")
    assert open_shop.vafa("member", "close", member, "--reason", "moved away", "--forfeit").status == 0
    assert "personal, closed" in open_shop.vafa("member", "show", member).out


def test_erasing_asks_first_and_then_leaves_nothing_of_the_person(open_shop: Shop) -> None:
    open_shop.vafa("member", "enrol", "--given-name", "نازنین", "--phone", "09121110009")
    account = open_shop.vafa("member", "show", "phone:09121110009", "--json").json()["account_id"]
    asked = open_shop.vafa("member", "erase", account, answer="n\n")
    assert asked.status == 1
    assert isolate("نازنین") in asked.err  # who it is about, before the question
    assert "نازنین" in open_shop.vafa("member", "show", account).out
    assert open_shop.vafa("member", "erase", account, answer="y\n").status == 0
    assert "نازنین" not in open_shop.vafa("member", "show", account).out
    assert open_shop.vafa("member", "show", "phone:09121110009").status == 1


def test_a_gift_card_has_an_account_and_no_person(open_shop: Shop) -> None:
    opened = open_shop.vafa("member", "enrol", "--bearer", "--card", "6037991110000009")
    assert opened.status == 0, opened.err
    shown = open_shop.vafa("member", "show", "card:6037991110000009", "--json").json()
    assert (shown["kind"], "person" in shown) == ("ACCOUNT_KIND_BEARER", False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "09121110001"),
        ("show", "phone:"),
        ("show", "fax:12"),
        ("enrol", "--birth-date", "5/12/1989"),
        ("enrol", "--birth-date", "1368-05-12", "--calendar", "lunar"),
        ("enrol", "--consent", "sms:marketing"),
        ("enrol", "--consent", "fax:marketing", "--consent-text", "1"),
        ("enrol", "--consent", "sms", "--consent-text", "1"),
    ],
)
def test_what_is_typed_wrong_is_a_usage_error_and_reaches_no_node(
    open_shop: Shop, arguments: tuple[str, ...]
) -> None:
    accounts = open_shop.vafa("status", "--json").json()["accounts"]
    refused = open_shop.vafa("member", *arguments)
    assert (refused.status, refused.out) == (2, "")
    assert open_shop.vafa("status", "--json").json()["accounts"] == accounts


def test_what_the_node_refuses_says_what_happened_and_what_to_do_on_standard_error(open_shop: Shop) -> None:
    refused = open_shop.vafa("member", "show", "phone:09129999999")
    assert (refused.status, refused.out) == (1, "")
    assert refused.err == (
        "vafa: No member carries this identifier. Nothing was changed. Read it again, or enrol the member.\n"
    )


def test_accounts_set_aside_are_listed(open_shop: Shop) -> None:
    assert open_shop.vafa("quarantine", "list").out == "No account is set aside.\n"
    assert open_shop.vafa("quarantine", "list", "--json").json()["accounts"] == []


@pytest.mark.filterwarnings("ignore::getpass.GetPassWarning")
def test_a_members_pin_is_typed_unseen_unlocked_and_removed(open_shop: Shop, new_member: NewMember) -> None:
    member = new_member()
    done = open_shop.vafa("member", "pin", "set", member, answer="۴۸۱۵\n۴۸۱۵\n")
    assert done.status == 0, done.err
    assert "is set" in done.out
    assert "۴۸۱۵" not in done.out + done.err
    # By itself: the member's id is of random hexadecimal digits.
    assert not re.search(r"(?<![0-9a-f])4815(?![0-9a-f])", done.out + done.err)
    assert open_shop.vafa("member", "pin", "set", member, "--pin", "12").status != 0
    assert "tries again" in open_shop.vafa("member", "pin", "unlock", member).out
    assert "no PIN any more" in open_shop.vafa("member", "pin", "remove", member).out
