"""A PIN is good for whoever knows it, and is not guessed."""

from __future__ import annotations

import pytest

from node.people import pins
from node.people.pins import Pin, PinRule, PinVerdict

SECRET = b"the node's own"
RULE = PinRule(transaction_units=300, day_units=500)
DAY = 20_000
GOOD, WRONG, LOCKED, LIMIT = PinVerdict.GOOD, PinVerdict.WRONG, PinVerdict.LOCKED, PinVerdict.LIMIT


class Holder:
    """A member with a PIN, whose requests all differ."""

    def __init__(self, pin: str = "1234") -> None:
        self.state = pins.set_pin(Pin(), pin, b"salt", SECRET)
        self._requests = 0

    def tries(
        self, pin: str, units: int = 1, day: int = DAY, use: bytes = b"", rule: PinRule = RULE
    ) -> PinVerdict:
        self._requests += 1
        use = use or self._requests.to_bytes(16, "big")
        verdict, self.state = pins.check_pin(self.state, pin, units, day, use, rule, SECRET)
        return verdict


def test_a_pin_is_locked_after_three_wrong_ones_in_a_row_and_a_right_one_gives_all_tries_back() -> None:
    holder = Holder()
    typed = ["0000", "1234", "0000", "0000", "0000", "1234"]
    assert [holder.tries(pin) for pin in typed] == [WRONG, GOOD, WRONG, WRONG, WRONG, LOCKED]


def test_the_programme_says_how_many_wrong_ones_lock_it() -> None:
    holder, rule = Holder(), PinRule(1, 1, tries=1)
    assert [holder.tries(pin, rule=rule) for pin in ("0000", "1234")] == [WRONG, LOCKED]


def test_a_locked_pin_is_good_again_once_it_is_unlocked_or_set_anew() -> None:
    for mend in (pins.unlocked, lambda state: pins.set_pin(state, "1234", b"salt", SECRET)):
        holder = Holder()
        for _ in range(3):
            holder.tries("0000")
        holder.state = mend(holder.state)
        assert holder.tries("1234") is GOOD


def test_the_same_request_again_is_no_second_try_and_is_counted_once() -> None:
    holder = Holder()
    for _ in range(5):
        assert holder.tries("0000", use=b"r1") is WRONG
    assert holder.state.wrong == 1
    for _ in range(5):
        assert holder.tries("1234", 200, use=b"r2") is GOOD
    assert holder.state.day_units == 200


def test_a_right_pin_spends_no_more_than_the_programme_lets_it_at_a_time_and_in_a_day() -> None:
    holder = Holder()
    assert holder.tries("1234", 301) is LIMIT
    assert holder.tries("1234", 300) is GOOD
    assert holder.tries("1234", 201) is LIMIT
    assert holder.tries("1234", 200) is GOOD
    assert holder.tries("1234", 300, DAY + 1) is GOOD


def test_a_member_without_a_pin_is_told_so() -> None:
    assert pins.check_pin(Pin(), "1234", 1, DAY, b"r1", RULE, SECRET) == (PinVerdict.NOT_SET, Pin())


def test_digits_of_any_script_are_the_same_pin() -> None:
    assert pins.normal_pin("۱۲۳۴") == pins.normal_pin("١٢٣٤") == pins.normal_pin(" 1234 ") == "1234"
    assert Holder().tries("۱۲۳۴") is GOOD


@pytest.mark.parametrize("typed", ["", "123", "1234567890123", "12a4", "१२३४"])
def test_what_is_no_pin_is_not_taken_for_one(typed: str) -> None:
    assert pins.normal_pin(typed) is None


def test_what_is_kept_says_nothing_without_the_nodes_secret_and_differs_from_member_to_member() -> None:
    kept = pins.set_pin(Pin(), "1234", b"salt", SECRET)
    assert kept.digest != pins.set_pin(Pin(), "1234", b"other salt", SECRET).digest
    assert kept.digest != pins.set_pin(Pin(), "1234", b"salt", b"another node's").digest
    assert "1234" not in repr(kept)
    assert kept.digest.hex() not in repr(kept)
