"""One-time codes: told once, used once, guessed five times at most."""

import itertools

import msgspec
import pytest

from node.identity.caller import Caller, Role, caller_from_uri
from node.identity.enrolment import (
    DEFAULT_TTL_MS,
    MAX_TRIES,
    EnrolmentRefusal,
    EnrolmentTicket,
    new_ticket,
    redeem,
    ticket_number,
)

NOW_MS = 1_750_000_000_000
TILL = Caller(Role.TILL, "bazaar", "till-1", "north")
LEILA = "vafa://merchant/bazaar/staff/leila"
RANDOMNESS = bytes(range(32))


def ticket_and_code(randomness: bytes = RANDOMNESS) -> tuple[EnrolmentTicket, str]:
    return new_ticket(TILL, created_by=LEILA, now_ms=NOW_MS, randomness=randomness)


TICKET, CODE = ticket_and_code()
WRONG = CODE[:-1] + str((int(CODE[-1]) + 1) % 10)


def test_the_right_code_opens_the_ticket_once_for_the_caller_it_was_made_for() -> None:
    used, refusal = redeem(TICKET, CODE, NOW_MS + 1)
    assert refusal is None
    assert used.redeemed_ms == NOW_MS + 1
    assert caller_from_uri(used.caller_uri) == TILL
    assert used.created_by == LEILA
    again, refusal = redeem(used, CODE, NOW_MS + 2)
    assert refusal is EnrolmentRefusal.USED
    assert again == used


def test_a_code_that_was_guessed_five_times_is_void_even_when_the_sixth_guess_is_right() -> None:
    ticket = TICKET
    for guess in range(1, MAX_TRIES + 1):
        ticket, refusal = redeem(ticket, WRONG, NOW_MS)
        assert refusal is EnrolmentRefusal.WRONG_CODE
        assert ticket.tries_left == MAX_TRIES - guess
    for code in (WRONG, CODE):
        ticket, refusal = redeem(ticket, code, NOW_MS)
        assert refusal is EnrolmentRefusal.TOO_MANY_TRIES
    assert ticket.redeemed_ms == 0


def test_four_wrong_tries_still_leave_the_right_one() -> None:
    ticket = TICKET
    for _ in range(MAX_TRIES - 1):
        ticket, _ = redeem(ticket, WRONG, NOW_MS)
    _, refusal = redeem(ticket, CODE, NOW_MS)
    assert refusal is None


def test_a_code_expires_after_an_hour() -> None:
    expired, refusal = redeem(TICKET, CODE, NOW_MS + DEFAULT_TTL_MS)
    assert refusal is EnrolmentRefusal.EXPIRED
    assert expired == TICKET
    _, refusal = redeem(TICKET, CODE, NOW_MS + DEFAULT_TTL_MS - 1)
    assert refusal is None


@pytest.mark.parametrize(
    "typed",
    [
        CODE.replace(" ", ""),
        CODE.replace(" ", "-"),
        f"  {CODE}\n",
        CODE.replace(" ", "\u200c"),
        CODE.translate({ord(str(digit)): chr(0x06F0 + digit) for digit in range(10)}),
        CODE.translate({ord(str(digit)): chr(0x0660 + digit) for digit in range(10)}),
        "\u200f"
        + CODE[:9].translate({ord(str(digit)): chr(0x06F0 + digit) for digit in range(10)})
        + CODE[9:],
    ],
)
def test_a_code_may_be_typed_with_any_spacing_and_in_persian_or_arabic_digits(typed: str) -> None:
    assert ticket_number(typed) == TICKET.number
    _, refusal = redeem(TICKET, typed, NOW_MS)
    assert refusal is None


@pytest.mark.parametrize(
    "typed",
    [
        "",
        CODE[:-1],
        CODE + "0",
        "0" * 17,
        CODE[:-1] + "O",
        CODE[:-1] + "²",
        "1" * 10_000,
        CODE + " " * 100,
        "کد ثبت‌نام",
        "\0" * 16,
    ],
)
def test_what_cannot_be_a_code_is_said_to_be_none_and_costs_no_try(typed: str) -> None:
    assert ticket_number(typed) is None
    ticket, refusal = redeem(TICKET, typed, NOW_MS)
    assert refusal is EnrolmentRefusal.MALFORMED
    assert ticket == TICKET


def test_a_code_opens_no_other_ticket() -> None:
    other, _ = ticket_and_code(bytes(reversed(range(32))))
    _, refusal = redeem(other, CODE, NOW_MS)
    assert refusal is EnrolmentRefusal.WRONG_CODE
    # The same secret under another number is another code.
    renumbered = msgspec.structs.replace(TICKET, number="0000")
    _, refusal = redeem(renumbered, CODE, NOW_MS)
    assert refusal is EnrolmentRefusal.WRONG_CODE


def test_neither_what_is_stored_nor_its_repr_holds_the_code() -> None:
    secret = CODE.replace(" ", "")[4:]
    stored = msgspec.msgpack.encode(TICKET)
    assert secret.encode() not in stored
    assert int(secret).to_bytes(5, "big") not in stored
    assert TICKET.code_hash.hex() not in repr(TICKET)
    assert secret not in repr(TICKET)
    assert repr(TICKET.code_hash) not in f"{TICKET!r} {TICKET}"
    assert msgspec.msgpack.decode(stored, type=EnrolmentTicket) == TICKET


def test_a_code_is_four_groups_of_four_digits_whatever_the_randomness() -> None:
    for byte in (0, 255):
        _, code = ticket_and_code(bytes([byte]) * 32)
        groups = code.split(" ")
        assert [len(group) for group in groups] == [4, 4, 4, 4]
        assert all(group.isdecimal() for group in groups)


def test_different_randomness_gives_different_numbers_secrets_and_salts() -> None:
    tickets = [ticket_and_code(bytes([byte]) * 32) for byte in (1, 2, 3)]
    for (one, code), (other, other_code) in itertools.combinations(tickets, 2):
        assert one.number != other.number
        assert code[5:] != other_code[5:]
        assert one.salt != other.salt


def test_too_little_randomness_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ticket_and_code(b"short")
