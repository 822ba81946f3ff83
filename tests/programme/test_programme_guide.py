"""The guide's example is published as it stands there and brings what the guide says."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from node.ledger.account import Account, Entitlement
from node.ledger.purchase import Activity, Line, Purchase
from node.programme.compile import compile_programme
from node.programme.conditions import FUNCTIONS
from node.programme.evaluate import CompiledProgramme, UnknownActivity
from node.programme.model import Programme
from node.programme.variables import ACTIVITY_FIELDS, RULE_FIELDS
from node.proto.vafa.programme.v1 import programme_pb2 as pb
from node.wire.programme import programme_from_proto
from node.wire.programme_toml import programme_from_toml

GUIDE = (Path(__file__).parents[2] / "docs" / "programme.md").read_text(encoding="utf-8")
THURSDAY_NIGHT = "2026-03-26T21:15+03:30"
GOLD = Account(b"a" * 16, entitlements=(Entitlement("gold", "tier", 0),))
LINES = (
    Line(1, "yoghurt", ("food", "dairy", "yoghurt"), 1_000, 455_000, brand="Kalleh"),
    Line(2, "beans", ("food", "coffee"), 1_000, 720_000, tags=("coffee",)),
    Line(3, "cigarettes", ("tobacco",), 1_000, 300_000),
)
BASKET = Purchase("s1", "r1", 1_475_000, "IRR", lines=LINES)


def instant_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000


def guide_programme() -> CompiledProgramme:
    [text] = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    message = programme_from_toml(text)
    assert isinstance(message, pb.Programme), message
    programme = programme_from_proto(message)
    assert isinstance(programme, Programme), programme
    return compile_programme(programme, tz="Asia/Tehran", currency="IRR")


def test_the_guide_s_example_brings_what_the_guide_says() -> None:
    promised = re.findall(r"^\| `([a-z-]+)` \| .* \| (\d+) (?:points|stamp) \|", GUIDE, re.MULTILINE)
    awards = guide_programme().evaluate(BASKET, GOLD, instant_ms(THURSDAY_NIGHT))
    assert [(award.rule, str(award.units)) for award in awards] == promised
    assert {award.rule: award.line_shares for award in awards} == {
        "base": ((1, 45), (2, 72)),
        "thursday-night": ((1, 8), (2, 12)),
        "coffee-stamp": ((2, 1),),
        "dairy-double": ((1, 52),),
        "gold": ((2, 42),),
    }


def test_the_guide_s_points_become_spendable_and_expire_when_it_says() -> None:
    awards = {
        award.rule: award for award in guide_programme().evaluate(BASKET, GOLD, instant_ms(THURSDAY_NIGHT))
    }
    assert awards["base"].available_ms == instant_ms("2026-04-09T00:00+03:30")
    assert awards["base"].expires_ms == instant_ms("2027-04-01T00:00+03:30")
    assert awards["coffee-stamp"].available_ms == 0


def test_the_guide_s_thursday_night_is_still_open_on_friday_at_half_past_one() -> None:
    programme = guide_programme()

    def rules(moment: str) -> set[str]:
        return {award.rule for award in programme.evaluate(BASKET, None, instant_ms(moment))}

    assert "thursday-night" in rules("2026-03-27T01:30+03:30")
    assert "thursday-night" not in rules("2026-03-27T02:00+03:30")
    assert "thursday-night" not in rules("2026-03-26T01:30+03:30")


def test_the_guide_s_survey_is_rewarded_and_its_check_in_only_recorded() -> None:
    programme = guide_programme()
    survey = Activity("survey", "app", (("answers", "5"),))
    awards = programme.evaluate_activity(survey, GOLD, instant_ms(THURSDAY_NIGHT), "fa-IR")
    assert not isinstance(awards, UnknownActivity)
    assert [award.receipt_text for award in awards] == ["سپاس! 50 امتیاز"]
    assert programme.evaluate_activity(Activity("check-in"), GOLD, instant_ms(THURSDAY_NIGHT)) == ()


def test_the_guide_names_every_field_that_a_condition_may_read() -> None:
    section = GUIDE[GUIDE.index("## Conditions") :]
    for names in (*RULE_FIELDS.values(), *ACTIVITY_FIELDS.values(), FUNCTIONS):
        for name in names:
            assert f"`{name}" in section, name
