"""What is wrong with the rules and activities of a programme; see `validate`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from node.ledger.account import Account
from node.ledger.purchase import Activity, Line, Purchase, Tender
from node.ledger.purses import MAX_UNITS
from node.programme.conditions import BadCondition, Condition, Trouble, compile_condition, new_context
from node.programme.model import (
    ActivityRule,
    EarningRule,
    Exclusion,
    Fixed,
    LineSelector,
    Multiplier,
    Programme,
    Rate,
    ReceiptText,
    TimeWindow,
)
from node.programme.problems import Problem, bounded, date_of, listed, parsed_date, text
from node.programme.variables import ACTIVITY_FIELDS, RULE_FIELDS, Scene, read
from node.programme.windows import MINUTES_PER_DAY

MAX_SELECTED = 500
MAX_SELECTED_CHARACTERS = 256
MAX_MULTIPLIER_MILLI = 100_000
MAX_UNITS_PER_MINOR = 1_000
MAX_DAILY_LIMIT = 10_000
MAX_PARTY_CHARACTERS = 64
MAX_LANGUAGES = 20
MAX_RECEIPT_CHARACTERS = 200

_RULE_CODE = re.compile(r"[a-z0-9_-]{1,40}\Z")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}\Z")


def rule_problems(programme: Programme) -> Iterator[Problem]:
    """What is wrong with the earning rules."""
    purses = {purse.code for purse in programme.purses}
    raised = {rule.purse for rule in programme.rules if isinstance(rule.grant, (Rate, Fixed))}
    for at, rule in enumerate(programme.rules):
        path = f"rules[{at}]"
        yield from _code(path, rule.code)
        if isinstance(rule.grant, Exclusion):
            yield from _exclusion(path, rule)
        else:
            yield from _grant(path, rule, raised)
            yield from _purse(path, rule.purse, purses)
        if rule.lines is not None:
            yield from _selector(f"{path}.lines", rule.lines)
        if rule.window is not None:
            yield from _window(f"{path}.window", rule.window)
        yield from _condition(f"{path}.condition", rule.condition, RULE_FIELDS)
        yield from bounded(f"{path}.daily_cap_units", rule.daily_cap_units, 0, MAX_UNITS)
        yield from text(f"{path}.funder", rule.funder, MAX_PARTY_CHARACTERS, empty=True)
        yield from text(f"{path}.campaign", rule.campaign, MAX_PARTY_CHARACTERS, empty=True)
        yield from _receipt_text(f"{path}.receipt_text", rule.receipt_text)


def activity_problems(programme: Programme) -> Iterator[Problem]:
    """What is wrong with the activities."""
    purses = {purse.code for purse in programme.purses}
    for at, activity in enumerate(programme.activities):
        path = f"activities[{at}]"
        yield from _code(path, activity.code)
        yield from _reward(path, activity, purses)
        yield from _condition(f"{path}.condition", activity.condition, ACTIVITY_FIELDS)
        yield from _receipt_text(f"{path}.receipt_text", activity.receipt_text)


def _code(path: str, code: str) -> Iterator[Problem]:
    if not _RULE_CODE.match(code):
        yield Problem(f"{path}.code", "A code must be 1 to 40 characters of a-z 0-9 - and _.")


def _purse(path: str, purse: str, purses: set[str]) -> Iterator[Problem]:
    if not purse:
        yield Problem(f"{path}.purse", "Say which purse it fills.")
    elif purse not in purses:
        yield Problem(f"{path}.purse", f"There is no purse {purse[:40]!r}.")


def _exclusion(path: str, rule: EarningRule) -> Iterator[Problem]:
    given = {
        "purse": rule.purse,
        "daily_cap_units": rule.daily_cap_units,
        "funder": rule.funder,
        "campaign": rule.campaign,
        "receipt_text": rule.receipt_text,
    }
    for name, value in given.items():
        if value:
            yield Problem(f"{path}.{name}", "An exclusion gives nothing: leave this out.")


def _grant(path: str, rule: EarningRule, raised: set[str]) -> Iterator[Problem]:
    match rule.grant:
        case Rate(units, money_minor):
            yield from bounded(f"{path}.rate.units", units, 1, MAX_UNITS)
            yield from bounded(f"{path}.rate.money_minor", money_minor, 1, MAX_UNITS)
            if units > MAX_UNITS_PER_MINOR * money_minor > 0:
                most = f"{MAX_UNITS_PER_MINOR:,} minor units for each of the currency"
                yield Problem(f"{path}.rate", f"A rate gives at most {most}.")
        case Fixed(units):
            yield from bounded(f"{path}.fixed_units", units, 1, MAX_UNITS)
        case Multiplier(milli):
            if not 1_000 < milli <= MAX_MULTIPLIER_MILLI:
                most = f"{MAX_MULTIPLIER_MILLI} (a hundredfold)"
                yield Problem(f"{path}.multiplier_milli", f"A multiplier must be from 1001 to {most}.")
            if rule.purse not in raised:
                yield Problem(
                    f"{path}.multiplier_milli",
                    "A multiplier raises what a rate or a fixed number fills into its purse, and none does.",
                )


def _selector(path: str, selector: LineSelector) -> Iterator[Problem]:
    if selector == LineSelector():
        yield Problem(path, "This selects nothing: leave it out for a rule about all lines.")
    for name in ("groups", "tags", "skus", "brands"):
        yield from listed(f"{path}.{name}", getattr(selector, name), MAX_SELECTED, MAX_SELECTED_CHARACTERS)
    for at, group in enumerate(selector.groups):
        if group.startswith("/") or group.endswith("/"):
            yield Problem(f"{path}.groups[{at}]", "A group neither begins nor ends with a slash.")


def _window(path: str, window: TimeWindow) -> Iterator[Problem]:
    for name, value in (("start_date", window.start_date), ("end_date", window.end_date)):
        if value:
            yield from date_of(f"{path}.{name}", value)
    first, last = parsed_date(window.start_date), parsed_date(window.end_date)
    if first and last and last < first:
        yield Problem(f"{path}.end_date", "The last day is before the first.")
    if any(not 1 <= weekday <= 7 for weekday in window.weekdays):
        yield Problem(f"{path}.weekdays", "Weekdays must be from 1 for Monday to 7 for Sunday.")
    if len(set(window.weekdays)) < len(window.weekdays):
        yield Problem(f"{path}.weekdays", "A weekday is there twice.")
    yield from bounded(f"{path}.start_minute", window.start_minute, 0, MINUTES_PER_DAY - 1)
    yield from bounded(f"{path}.end_minute", window.end_minute, 0, MINUTES_PER_DAY)
    if window.start_minute and window.start_minute == window.end_minute:
        yield Problem(f"{path}.end_minute", "The window ends as it begins.")


def _reward(path: str, activity: ActivityRule, purses: set[str]) -> Iterator[Problem]:
    if activity.purse:
        yield from _purse(path, activity.purse, purses)
        yield from bounded(f"{path}.units", activity.units, 1, MAX_UNITS)
    elif activity.units:
        yield Problem(f"{path}.units", "Units need a purse.")
    elif activity.daily_limit:
        yield Problem(f"{path}.daily_limit", "An activity that brings nothing has no limit.")
    yield from bounded(f"{path}.daily_limit", activity.daily_limit, 0, MAX_DAILY_LIMIT)


def _receipt_text(path: str, texts: ReceiptText) -> Iterator[Problem]:
    if len(texts) > MAX_LANGUAGES:
        yield Problem(path, f"There may be at most {MAX_LANGUAGES} languages; here are {len(texts)}.")
        return
    for language, words in texts:
        if not _LANGUAGE.match(language):
            yield Problem(path, "A language must be a tag such as fa, ar-EG or en.")
        else:
            yield from text(f"{path}.{language}", words, MAX_RECEIPT_CHARACTERS)
    if len({language.lower() for language, _ in texts}) < len(texts):
        yield Problem(path, "A language is there twice.")


# --- conditions ------------------------------------------------------------------------------------------

_EMPTY_PURCHASE = Purchase("s", "r", 1, "IRR")
_FULL_PURCHASE = Purchase(
    "s",
    "r",
    2,
    "IRR",
    lines=(Line(1, "sku", ("a", "b"), 1_000, 2, brand="b", tags=("t",)),),
    tenders=(Tender("cash", 2),),
    codes=("c",),
)


def _condition(path: str, source: str, known: Mapping[str, frozenset[str]]) -> Iterator[Problem]:
    if not source:
        return
    try:
        condition = compile_condition(source, known)
    except BadCondition as refusal:
        yield Problem(path, str(refusal))
        return
    for scene in _trials(condition, activity="activity" in known):
        answer = condition.judge(new_context(read(scene, condition.fields)))
        if answer in (Trouble.NOT_BOOLEAN, Trouble.TYPES):
            yield Problem(path, f"On a sample, {answer}.")
            return


def _trials(condition: Condition, *, activity: bool) -> list[Scene]:
    """Two scenes to try a condition on. What troubles one of them may be fine elsewhere, types apart."""
    account = Account(b"")
    if activity:
        attributes = tuple((name, "1") for name in sorted(condition.attributes))
        return [
            Scene(Activity("a", "s", attributes), account, 0, "UTC"),
            Scene(Activity("a"), None, 0, "UTC"),
        ]
    return [Scene(_FULL_PURCHASE, account, 0, "UTC"), Scene(_EMPTY_PURCHASE, None, 0, "UTC")]
