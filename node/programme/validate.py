"""What is wrong with a programme: every problem at once, each with its place and a sentence.

A programme without problems cannot make the node fault, whatever is bought: its numbers stay within what the
ledger moves (`MAX_UNITS` for one award), its dates exist, and its conditions are ones that can be judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from node.ledger.days import MAX_MS
from node.ledger.purses import MAX_UNITS, PurseDefinition, PurseKind, SpentReturnPolicy
from node.programme.model import (
    AfterDays,
    Expiry,
    Limits,
    MonthsEnd,
    OnDate,
    Programme,
    ProofKind,
    ProofLimit,
    PurseTerms,
)
from node.programme.problems import Problem, bounded, date_of, listed, text, unique
from node.programme.validate_rules import activity_problems, rule_problems

MAX_PURSES = 32
MAX_RULES = 200
MAX_ACTIVITIES = 200
MAX_NAME = 120
MAX_UNIT_NAME = 40
MAX_LISTED = 500
MAX_LISTED_CHARACTERS = 64
MAX_SPEND_ORDER = 1_000_000
MAX_DAYS = 36_500
MAX_MONTHS = 1_200
MAX_PENDING_DAYS = 3_650
MAX_EXPONENT = 6
MAX_PIN_TRIES = 10

_PURSE_CODE = re.compile(r"[a-z0-9_]{1,24}\Z")
_SHORTEST_MONTH_DAYS = 28


def validate(programme: Programme) -> tuple[Problem, ...]:
    """Everything that is wrong with a draft; empty where it can be published."""
    return tuple(_problems(programme))


def _problems(programme: Programme) -> Iterator[Problem]:
    yield from text("name", programme.name, MAX_NAME)
    yield from text("author", programme.author, MAX_NAME, empty=True)
    yield from bounded("version", programme.version, 0, 2**31 - 1)
    yield from bounded("effective_time", programme.effective_ms, 0, MAX_MS)
    for path, entries, most in (
        ("purses", programme.purses, MAX_PURSES),
        ("rules", programme.rules, MAX_RULES),
        ("activities", programme.activities, MAX_ACTIVITIES),
    ):
        if len(entries) > most:
            yield Problem(path, f"There may be at most {most}; here are {len(entries)}.")
            return  # judging thousands of rules one by one would help nobody
    yield from unique("purses", [purse.code for purse in programme.purses])
    yield from unique("rules", [rule.code for rule in programme.rules])
    yield from unique("activities", [activity.code for activity in programme.activities])
    for at, purse in enumerate(programme.purses):
        yield from _purse_problems(f"purses[{at}]", purse)
    yield from _terms_problems(programme)
    yield from rule_problems(programme)
    yield from activity_problems(programme)
    yield from _limits_problems(programme.limits)
    yield from _proof_problems(programme.proofs)


def _purse_problems(path: str, purse: PurseDefinition) -> Iterator[Problem]:
    if not _PURSE_CODE.match(purse.code):
        yield Problem(f"{path}.code", "A purse's code must be 1 to 24 characters of a-z 0-9 and _.")
    yield from text(f"{path}.unit", purse.unit, MAX_UNIT_NAME, empty=True)
    yield from bounded(f"{path}.exponent", purse.exponent, 0, MAX_EXPONENT)
    yield from bounded(f"{path}.spend_order", purse.spend_order, -MAX_SPEND_ORDER, MAX_SPEND_ORDER)
    yield from listed(f"{path}.channels", purse.channels, MAX_LISTED, MAX_LISTED_CHARACTERS)
    yield from listed(f"{path}.stores", purse.stores, MAX_LISTED, MAX_LISTED_CHARACTERS)
    yield from bounded(f"{path}.credit_limit", purse.credit_limit, 0, MAX_UNITS)
    if purse.rate is not None:
        yield from bounded(f"{path}.redemption_rate.units", purse.rate.units, 1, MAX_UNITS)
        yield from bounded(f"{path}.redemption_rate.money_minor", purse.rate.money_minor, 1, MAX_UNITS)
    elif purse.spent_return_policy is SpentReturnPolicy.RECOVER:
        yield Problem(
            f"{path}.spent_return_policy", "To recover units from a refund they need a redemption_rate."
        )
    yield from bounded(f"{path}.goal", purse.goal, 0, MAX_UNITS)
    if purse.goal and purse.kind is not PurseKind.STAMPS:
        yield Problem(f"{path}.goal", "Only a purse of stamps has a goal.")


def _terms_problems(programme: Programme) -> Iterator[Problem]:
    places = {purse.code: f"purses[{at}]" for at, purse in enumerate(programme.purses)}
    for at, terms in enumerate(programme.terms):
        if terms.purse not in places:
            yield Problem(f"terms[{at}].purse", f"There is no purse {terms.purse!r}.")
            continue
        path = places[terms.purse]
        yield from bounded(f"{path}.pending_days", terms.pending_days, 0, MAX_PENDING_DAYS)
        yield from _expiry_problems(f"{path}.expiry", terms.expiry)
        if _pending_too_long(terms):
            yield Problem(f"{path}.pending_days", "Units would expire before they can be spent.")


def _expiry_problems(path: str, expiry: Expiry | None) -> Iterable[Problem]:
    match expiry:
        case AfterDays(days):
            return bounded(f"{path}.days", days, 0, MAX_DAYS)
        case MonthsEnd(months):
            return bounded(f"{path}.months_end", months, 0, MAX_MONTHS)
        case OnDate(date):
            return date_of(f"{path}.on_date", date)
        case _:
            return ()


def _pending_too_long(terms: PurseTerms) -> bool:
    """Whether units of some day would expire before they are available, were the month a short one."""
    match terms.expiry:
        case AfterDays(days):
            return terms.pending_days > days
        case MonthsEnd(months):
            return terms.pending_days > months * _SHORTEST_MONTH_DAYS
        case _:
            return False


def _limits_problems(limits: Limits) -> Iterator[Problem]:
    yield from bounded("limits.single_approver_units", limits.single_approver_units, 0, MAX_UNITS)
    yield from bounded("limits.daily_transfer_units", limits.daily_transfer_units, 0, MAX_UNITS)


def _proof_problems(proofs: tuple[ProofLimit, ...]) -> Iterator[Problem]:
    for at, limit in enumerate(proofs):
        path = f"proofs[{at}]"
        yield from bounded(f"{path}.transaction_units", limit.transaction_units, 0, MAX_UNITS)
        yield from bounded(f"{path}.daily_units", limit.daily_units, 0, MAX_UNITS)
        if limit.daily_units < limit.transaction_units:
            yield Problem(f"{path}.daily_units", "A day allows at least what one transaction does.")
        pin = limit.proof is ProofKind.PIN
        yield from bounded(f"{path}.tries", limit.tries, 0, MAX_PIN_TRIES if pin else 0)
        most = MAX_UNITS if pin else 0
        yield from bounded(f"{path}.required_from_units", limit.required_from_units, 0, most)
        if limit.proof in {other.proof for other in proofs[:at]}:
            yield Problem(f"{path}.proof", "This kind of proof stands in the list before.")
