"""Payments of simulated windows: what is wrong with them, or with what keeps them, is found."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace

from node.actors import operator_parts, operator_payments
from node.actors.operator_money import OperatorMoney
from node.actors.operator_payments import OperatorPayments
from node.actors.operator_positions import Position, positions
from node.actors.settling_paid import SettlingPaid
from node.storage.store import Batch
from node.wire import settlement_camt
from simulators.settlement import paid_checks
from simulators.settlement.weeks import SettledOutcome, Weeks

SEEDS = range(9007, 9019)
"""In most of them some are in default, and pay later or never; much comes in parts, some of it is sent back
first. What happens in one of them is different as soon as the node says anything else, so none is relied on.
"""

Patch = Callable[[pytest.MonkeyPatch], None]


def _every_part_is_another(patch: pytest.MonkeyPatch) -> None:
    numbers = count()
    patch.setattr(operator_parts, "_hashed", lambda name: f"{name} {next(numbers)}")


def _what_was_sent_back_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(settlement_camt, "_without_sent_back", settlement_camt._right_way)


def _what_comes_of_debts_is_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(operator_payments, "came_between", lambda *_: [])


def _nothing_finishes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(OperatorPayments, "ended", lambda _books, record, _changed, _now_ms: record)


def _nobody_is_suspended(patch: pytest.MonkeyPatch) -> None:
    def blind(books: Any) -> list[Position]:
        return [replace(one, defaulted_windows=(), suspend=False) for one in positions(books)]

    patch.setattr(paid_checks, "positions", blind)


def _who_has_paid_stays_suspended(patch: pytest.MonkeyPatch) -> None:
    def grim(books: Any) -> list[Position]:
        return [
            replace(one, defaulted_windows=tuple(who), suspend=bool(who))
            for one in positions(books)
            for who in [
                [
                    number
                    for number in range(1, 8)
                    if one.partner_id in {two.partner_id for two in books.payments.defaulted(number)}
                ]
            ]
        ]

    patch.setattr(paid_checks, "positions", grim)


def _merchants_do_not_look(patch: pytest.MonkeyPatch) -> None:
    async def look(_paid: SettlingPaid, _directory: object) -> None:
        return

    patch.setattr(SettlingPaid, "look", look)


@pytest.mark.parametrize(
    ("breaks", "found"),
    [
        (_every_part_is_another, "counts as paid, and the bank moved"),
        (_what_was_sent_back_counts, "counts as paid, and the bank moved"),
        (_what_comes_of_debts_is_lost, "after a default there stands"),
        (_nothing_finishes, "is PENDING, and its payments are made"),
        (_nobody_is_suspended, r"is suspended for windows \(\), and owes in \{"),
        (_who_has_paid_stays_suspended, r"is suspended for windows \(\d.*, and owes in"),
        (_merchants_do_not_look, "has taken windows up to 0 off its caps"),
    ],
)
def test_what_goes_wrong_with_payments_is_found(
    breaks: Patch, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch)
    weeks = (Weeks(seed).run().violations for seed in SEEDS)
    assert any(re.search(found, violation) for violations in weeks for violation in violations)


def test_an_operator_whose_disk_forgets_what_it_was_told_of_payments_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unsynced(money: OperatorMoney, batch: Batch) -> None:
        money._store.write(batch)

    monkeypatch.setattr(OperatorMoney, "commit", unsynced)
    weeks = (Weeks(seed).run().violations for seed in SEEDS)
    assert any("counts as paid, and the bank moved" in str(violations) for violations in weeks)


def test_in_a_few_seeds_payments_are_made_in_every_way_and_debts_end() -> None:
    wanted = {
        "payments: paid in parts",
        "payments: paid after it was sent back",
        "payments: not paid before the default",
        "debts after a default: ended",
        "bank files read again",
    }
    for seed in SEEDS:
        outcome = Weeks(seed).run()
        assert outcome.violations == ()
        assert isinstance(outcome, SettledOutcome)
        wanted -= {what for what, times in outcome.settled.items() if times > 0}
        if not wanted:
            break
    assert wanted == set()
