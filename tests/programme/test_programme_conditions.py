"""Conditions in CEL: what they read, what is refused, and that nothing they say is ever a fault."""

from __future__ import annotations

import threading

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from node.ledger.account import Account, AccountKind, Counter, Entitlement
from node.ledger.purchase import Activity, Line, Purchase, Tender
from node.ledger.purses import PurseDefinition, PurseKind
from node.programme import conditions
from node.programme.compile import compile_programme
from node.programme.conditions import BadCondition, Trouble, compile_condition, new_context
from node.programme.evaluate import CompiledProgramme, UnknownActivity
from node.programme.judging import ConditionFault
from node.programme.model import ActivityRule, EarningRule, Programme, Rate
from node.programme.variables import ACTIVITY_FIELDS, RULE_FIELDS, Scene, read

NOON_MS = 1_773_995_400_000  # Friday 20 March 2026, 12:00 in Tehran
DAY_MS = 86_400_000
PURCHASE = Purchase(
    "s1",
    "r-7",
    1_500,
    "IRR",
    channel="web",
    lines=(Line(1, "sku-1", ("food", "dairy"), 1_000, 1_500, brand="کاله", tags=("organic",)),),
    tenders=(Tender("cash", 1_000), Tender("points", 500)),
    codes=("NOWRUZ",),
)
MEMBER = Account(
    b"a" * 16,
    AccountKind.POOL,
    opened_ms=NOON_MS - 3 * DAY_MS,
    entitlements=(
        Entitlement("gold", "tier", NOON_MS - 1, 0),
        Entitlement("past", "tier", 0, NOON_MS),
        Entitlement("future", "tier", NOON_MS + 1, 0),
    ),
)


def compiled(*rules: EarningRule, activities: tuple[ActivityRule, ...] = ()) -> CompiledProgramme:
    purses = (PurseDefinition("points", PurseKind.POINTS),)
    programme = Programme(1, "test", purses=purses, rules=rules, activities=activities)
    return compile_programme(programme, tz="Asia/Tehran", currency="IRR")


def ruled_by(condition: str) -> CompiledProgramme:
    return compiled(EarningRule("rule", Rate(1, 100), "points", condition=condition))


def holds(condition: str, purchase: Purchase = PURCHASE, account: Account | None = MEMBER) -> bool:
    programme = ruled_by(condition)
    applies = programme.evaluate(purchase, account, NOON_MS) != ()
    assert programme.condition_faults() == ()
    return applies


@pytest.mark.parametrize(
    "condition",
    [
        "purchase.total == 1500",
        "purchase.currency == 'IRR' && purchase.store == 's1' && purchase.channel == 'web'",
        "purchase.receipt.startsWith('r-') && purchase.receipt.endsWith('7')",
        "'NOWRUZ' in purchase.codes && size(purchase.codes) == 1",
        "purchase.tenders == ['cash', 'points'] && purchase.lines == 1",
        "'food' in purchase.groups && 'food/dairy' in purchase.groups && !('dairy' in purchase.groups)",
        "'organic' in purchase.tags && 'sku-1' in purchase.skus && 'کاله' in purchase.brands",
        "member.known && member.kind == 'pool' && member.age_days == 3",
        "member.entitlements == ['gold']",
        "occurred.weekday == 5 && occurred.minute == 720 && occurred.hour == 12",
        "occurred.day == '2026-03-20' && occurred.month == 3",
        "occurred.day >= '2026-03-20' && occurred.day < '2026-04-01'",
        "purchase . total // what is paid\n > 1000",
        "'all(' != \"exists(\" && '''purchase.nothing''' != r'matches(\\'",
        "(purchase.total > 1000 ? 'much' : 'little').contains('uc')",
        "int(string(purchase.total)) % 2 == 0",
    ],
)
def test_a_condition_reads_what_is_documented(condition: str) -> None:
    assert holds(condition)
    assert not holds(f"!({condition}\n)")


def test_an_anonymous_sale_has_no_member() -> None:
    nobody = "!member.known && member.kind == '' && member.entitlements == [] && member.age_days == 0"
    assert holds(nobody, account=None)


@pytest.mark.parametrize(
    "condition",
    [
        "purchase.totl > 1",
        "purchase > 1",
        "purchase['total'] > 1",
        "purchase.total.more > 1",
        ".purchase.total > 1",
        "shop.total > 1",
        "activity.code == 'x'",
        "has(purchase.total)",
        "type(purchase.total) == int",
        "purchase.codes.all(c, true)",
        "purchase.codes.exists(c, c == 'x')",
        "purchase.codes . exists_one // x\n (c, c == 'x')",
        "[1, 2].map(x, x * 2) == [2, 4]",
        "[1].filter(purchase, true) == [1]",
        "'aaaa'.matches('(a+)+$')",
        "matches(purchase.store, '.*')",
        "timestamp('2026-01-01T00:00:00Z') > timestamp('2025-01-01T00:00:00Z')",
        "optional.of(1).hasValue()",
        "dyn(1) == 1",
        "Purchase{total: 1}.total == 1",
        "purchase.total >",
        "'unfinished",
        "purchase.total > 1 \x00",
        "قیمت > 1",
        " ",
        "// nothing",
        "\ud800",
        "'\ud800' == ''",
        "(" * 17 + "true" + ")" * 17,
        "[" * 400 + "]" * 400,
        "1 + " * 150 + "1 > 0",
        "true || " * 124 + "true     ",
        "99999999999999999999 > 1",
    ],
)
def test_what_is_not_allowed_in_a_condition_is_refused_with_a_sentence(condition: str) -> None:
    with pytest.raises(BadCondition, match=r"^[A-Za-z].*\.$"):
        compile_condition(condition, RULE_FIELDS)


@pytest.mark.parametrize(
    "loop", ["all(c, true)", "exists(c, true)", "map(c, c) == []", "filter(c, true) == []"]
)
def test_a_loop_is_refused_as_a_loop(loop: str) -> None:
    with pytest.raises(BadCondition, match="must not loop"):
        compile_condition(f"purchase.codes.{loop}", RULE_FIELDS)


@pytest.mark.parametrize("condition", ["'a'.matches('a')", "purchase.total > 1", "[1].exists(x, x > 0)"])
def test_names_that_our_reading_missed_are_found_in_the_compiled_condition(
    condition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditions._Reading, "_read_name", lambda self, at, token: None)
    with pytest.raises(BadCondition, match=r"reads only|functions of a condition"):
        compile_condition(condition, RULE_FIELDS)


@pytest.mark.parametrize(
    ("condition", "trouble"),
    [
        ("activity.attributes.score == '1'", Trouble.MISSING),
        ("activity.attributes.branch == 1 || activity.attributes['branch'] + 1 > 1", Trouble.TYPES),
        ("[1, 2][5] == 1", Trouble.BEYOND_LIST),
        ("1 / (occurred.hour - 12) == 1", Trouble.ARITHMETIC),
        ("9223372036854775807 + occurred.hour > 0", Trouble.ARITHMETIC),
        ("activity.source", Trouble.NOT_BOOLEAN),
        ("int(activity.attributes.branch) > 0", Trouble.VALUES),
    ],
)
def test_a_condition_that_cannot_be_judged_does_not_apply_and_is_counted(
    condition: str, trouble: Trouble
) -> None:
    activity = ActivityRule("visit", "points", 5, condition=condition)
    programme = compiled(activities=(activity,))
    visit = Activity("visit", "kiosk", (("branch", "north"),))
    for _ in range(3):
        assert programme.evaluate_activity(visit, MEMBER, NOON_MS) == ()
    assert programme.condition_faults() == (ConditionFault("visit", trouble, 3),)


def test_a_fault_of_one_condition_leaves_the_other_rules_alone() -> None:
    programme = compiled(
        EarningRule("good", Rate(1, 100), "points", condition="purchase.total > 0"),
        EarningRule("bad", Rate(1, 100), "points", condition="purchase.codes[3] == 'x'"),
    )
    assert [award.rule for award in programme.evaluate(PURCHASE, MEMBER, NOON_MS)] == ["good"]
    assert [fault.rule for fault in programme.condition_faults()] == ["bad"]


def test_a_panic_within_the_library_does_not_pass_the_condition() -> None:
    class Panic(BaseException):
        pass

    class Panicking:
        def execute(self, context: object) -> bool:
            raise Panic

    condition = conditions.Condition(Panicking(), frozenset(), frozenset())  # type: ignore[arg-type]  # a double
    assert condition.judge(new_context({})) is Trouble.VALUES


def test_a_stored_condition_that_is_refused_today_never_applies_and_is_counted() -> None:
    programme = ruled_by("purchase.codes.all(c, true)")
    assert programme.evaluate(PURCHASE, MEMBER, NOON_MS) == ()
    assert [(fault.rule, fault.count) for fault in programme.condition_faults()] == [("rule", 1)]


def test_values_that_conditions_cannot_hold_are_no_fault() -> None:
    programme = ruled_by("purchase.receipt == 'x' || purchase.total > 0")
    for purchase in (replace(PURCHASE, receipt_number="\ud800"), replace(PURCHASE, total_minor=2**70)):
        programme.evaluate(purchase, MEMBER, NOON_MS)
    assert [fault.rule for fault in programme.condition_faults()] == ["rule"]


def test_a_condition_at_its_bounds_needs_little_of_the_stack() -> None:
    """Deep expressions overflow the library's stack, which ends the process: the bounds must be far away."""
    sources = ["(" * 16 + "true" + ")" * 16, "1" + " + 1" * 148 + " > 0", "!" * 299 + "true"]
    answers: list[object] = []

    def judge() -> None:
        answers.extend(compile_condition(source, RULE_FIELDS).judge(new_context({})) for source in sources)

    before = threading.stack_size(512 * 1_024)
    try:
        thread = threading.Thread(target=judge)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert answers == [True, True, False]


_WORDS = [
    "purchase",
    "total",
    "member",
    "entitlements",
    "activity",
    "occurred",
    "attributes",
    "has(",
    "all(",
    "map(x,",
    "matches(",
    "in",
]
_SIGNS = ["&&", "||", "==", "'''", '"""', "r'", 'b"', "//", "۱", "\u200c", "int(", "size("]
_VALUES = ["9223372036854775807", "-9223372036854775808", "1e400", "0xff", "1u", "null", "true"]
_PIECES = st.sampled_from([*"()[]{}.,:?!<>+-*/%'\"\\`#\n ", *_WORDS, *_SIGNS, *_VALUES])


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=40).map("".join) | st.text(max_size=1_100))
@example("purchase." * 100)
@example("a" * 1_000)
@example("'" + "\\u0061" * 160 + "'")
def test_no_text_whatever_makes_compiling_or_judging_fail(source: str) -> None:
    for known in (RULE_FIELDS, ACTIVITY_FIELDS):
        subject = PURCHASE if known is RULE_FIELDS else Activity("a", "s", (("x", "y"),))
        try:
            condition = compile_condition(source, known)
        except BadCondition:
            continue
        values = read(Scene(subject, MEMBER, NOON_MS, "UTC"), condition.fields)
        assert isinstance(condition.judge(new_context(values)), bool | Trouble)


# --- activities ------------------------------------------------------------------------------------------


def test_an_activity_is_rewarded_by_its_code_source_and_attributes() -> None:
    survey = ActivityRule(
        "survey",
        "points",
        50,
        condition="activity.source == 'app' && int(activity.attributes.answers) >= 3",
        receipt_text=(("fa", "{units} امتیاز برای پاسخ‌ها"),),
    )
    programme = compiled(activities=(survey,))
    good = programme.evaluate_activity(Activity("survey", "app", (("answers", "3"),)), MEMBER, NOON_MS)
    assert not isinstance(good, UnknownActivity)
    assert [(award.rule, award.units, award.receipt_text) for award in good] == [
        ("survey", 50, "50 امتیاز برای پاسخ‌ها")
    ]
    assert programme.evaluate_activity(Activity("survey", "app", (("answers", "2"),)), MEMBER, NOON_MS) == ()
    assert programme.evaluate_activity(Activity("survey", "web"), MEMBER, NOON_MS) == ()


def test_an_activity_is_rewarded_whole_or_not_at_all() -> None:
    programme = compiled(activities=(ActivityRule("visit", "points", 10, daily_limit=2),))
    [award] = programme.evaluate_activity(Activity("visit"), MEMBER, NOON_MS)  # type: ignore[misc]  # there is exactly one
    counted_when_it_brought_15 = replace(MEMBER, counters=(Counter(award.counter, award.day, 15),))
    assert programme.evaluate_activity(Activity("visit"), counted_when_it_brought_15, NOON_MS) == ()


def test_an_unknown_activity_is_told_from_one_that_brings_nothing() -> None:
    programme = compiled(activities=(ActivityRule("visit"),))
    assert programme.evaluate_activity(Activity("visit"), MEMBER, NOON_MS) == ()
    assert programme.evaluate_activity(Activity("vist"), MEMBER, NOON_MS) == UnknownActivity("vist")
