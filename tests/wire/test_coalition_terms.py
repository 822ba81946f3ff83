"""The operator's terms: what the file says is what the next directory says, window by window, key by key."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from node.coalition.directory import Directory, IdentifierRange, Key, Window
from node.coalition.directory_checks import problems, succession_problems
from node.wire.coalition_directory import JoinRequest, Unreadable
from node.wire.coalition_template import TEMPLATE
from node.wire.coalition_terms import (
    CalendarTerms,
    Terms,
    next_directory,
    range_from,
    range_text,
    read_terms,
    says_the_same,
    windows_of,
)
from node.wire.settlement_terms import SETTLEMENT_TEMPLATE
from tests.wire.coalition_parties import NOW_MS, signer
from tests.wire.coalition_terms import partner

DAY_MS = 86_400_000
TOML = TEMPLATE.format(
    id='"union"', purse='"points"', currency='"IRR"', time_zone='"Asia/Tehran"',
    first_day="2026-01-01", from_time="2026-01-01T00:00:00Z",
)  # fmt: skip
TWO = TOML + '\n[partners.nile]\nranges = ["card:11"]\n[partners.saffron]\nranges = ["phone:+98912"]\n'
REQUESTS = {
    name: JoinRequest("union", partner(name, seed, "x", partitions=4), NOW_MS, signer(seed).public_uri)
    for seed, name in enumerate(("nile", "saffron"), 1)
}


def made(text: str = TWO, before: Directory | None = None, now_ms: int = NOW_MS) -> Directory:
    return next_directory(read_terms(text), REQUESTS, before, (), now_ms)


def test_the_file_that_init_writes_makes_a_sound_directory() -> None:
    assert problems(made()) == []
    assert problems(made(TOML)) == []
    found = made()
    assert found.partners[0].ranges == (IdentifierRange(1, "11"),)
    assert found.partners[1].ranges == (IdentifierRange(3, "+98912"),)
    assert found.cap("nile", "saffron") == found.cap("saffron", "nile") == 1_000_000


def test_what_the_file_shows_of_settlement_in_comments_is_read_once_the_marks_are_taken_away() -> None:
    shown = re.sub(r"(?m)^# (?=\[|\w+ = )", "", SETTLEMENT_TEMPLATE.format(currency='"IRR"', exponent=0))
    found = made(TOML + shown)
    [terms] = found.settlement_terms
    assert terms.agent_account is not None
    assert (terms.agent_account.holder, [fee.code for fee in terms.fees]) == (
        "Settlement agent",
        ["commission"],
    )


def test_the_next_directory_follows_and_says_nothing_new_where_nothing_was_changed() -> None:
    before = made()
    after = made(before=before, now_ms=NOW_MS + 1)
    assert after.version == 2
    assert says_the_same(before, after)
    assert succession_problems(before, after) == []


def test_a_partner_without_a_request_is_named() -> None:
    with pytest.raises(Unreadable, match=r"partners\.zagros"):
        made(TWO + '[partners.zagros]\nstatus = "active"\n')


def test_a_pairs_cap_stands_before_the_default_and_who_left_has_none() -> None:
    text = TWO.replace("[caps]", '[[caps.pairs]]\ndebtor = "nile"\ncreditor = "saffron"\nunits = 7\n\n[caps]')
    assert made(text).cap("nile", "saffron") == 7
    left = TWO.replace("[partners.nile]", '[partners.nile]\nstatus = "left"')
    assert made(left).caps == ()


def test_a_dropped_key_ends_now_and_a_new_one_begins_a_little_before() -> None:
    before = made()
    old = before.partners[0].keys[0]
    new = Key(signer(30).public_uri, 0)
    moved = replace(REQUESTS["nile"], partner=replace(REQUESTS["nile"].partner, keys=(new,)))
    later = NOW_MS + DAY_MS
    after = next_directory(read_terms(TWO), {**REQUESTS, "nile": moved}, before, (), later)
    kept, added = after.partners[0].keys
    assert kept == replace(old, not_after_ms=later)
    assert added.valid_at(later - 60_000)
    assert succession_problems(before, after) == []


@pytest.mark.parametrize(
    ("every", "days"),
    [("day", {1}), ("week", {7}), ("month", {28, 29, 30, 31}), ("jalali_month", {29, 30, 31})],
)
def test_windows_follow_each_other_at_local_midnights(every: str, days: set[int]) -> None:
    zone = ZoneInfo("Africa/Cairo")  # whose clocks jump at midnight
    calendar = CalendarTerms("Africa/Cairo", date(2026, 3, 21), every, 30)  # type: ignore[arg-type]  # one of the words that the test is given
    windows = windows_of(calendar, (), NOW_MS)
    assert windows[0].number == 1
    assert windows[0].open_time_ms <= NOW_MS < windows[0].cut_time_ms
    assert sum(window.open_time_ms > NOW_MS for window in windows) == 30
    for one, two in pairwise(windows):
        assert (one.number + 1, one.cut_time_ms) == (two.number, two.open_time_ms)
    lengths = set()
    for window in windows:
        opened, cut = (
            datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone)
            for at_ms in (window.open_time_ms, window.cut_time_ms)
        )
        assert opened.hour in (0, 1)  # one in the night in which the clocks jump over midnight
        lengths.add((cut.date() - opened.date()).days)
    assert lengths <= days


def test_jalali_months_begin_on_their_first_day() -> None:
    calendar = CalendarTerms("Asia/Tehran", date(2026, 3, 21), "jalali_month", 12)  # 1 Farvardin 1405
    windows = windows_of(calendar, (), int(datetime(2026, 3, 22, tzinfo=UTC).timestamp()) * 1000)
    zone = ZoneInfo("Asia/Tehran")
    days = [datetime.fromtimestamp(one.open_time_ms / 1000, zone).date() for one in windows[:3]]
    assert days == [date(2026, 3, 21), date(2026, 4, 21), date(2026, 5, 22)]


@given(st.integers(0, 900), st.sampled_from(["day", "week", "month", "jalali_month"]))
def test_what_has_begun_never_moves_whatever_the_calendar_becomes(days_on: int, every: str) -> None:
    first = windows_of(CalendarTerms("Asia/Tehran", date(2026, 1, 1), "month", 24), (), NOW_MS)
    now_ms = NOW_MS + days_on * DAY_MS
    changed = CalendarTerms("Asia/Tehran", date(2026, 1, 1), every, 5)  # type: ignore[arg-type]  # one of the words that the test is given
    after = windows_of(changed, first, now_ms)
    begun = [window for window in first if window.open_time_ms <= now_ms]
    assert list(after[: len(begun)]) == begun
    assert sum(window.open_time_ms > now_ms for window in after) >= 5
    assert all(one.cut_time_ms == two.open_time_ms for one, two in pairwise(after))


def test_a_calendar_of_another_century_is_refused_and_not_reckoned_for_ever() -> None:
    with pytest.raises(Unreadable, match="first_day"):
        windows_of(CalendarTerms("Asia/Tehran", date(1900, 1, 1), "day", 5), (), NOW_MS)
    assert isinstance(
        windows_of(CalendarTerms("Asia/Tehran", date(2030, 1, 1), "month", 5), (), NOW_MS)[0], Window
    )


@pytest.mark.parametrize("text", ["card:6273", "barcode:20", "phone:+98912", "phone:+", "app_token:vf."])
def test_a_range_is_written_as_it_is_read(text: str) -> None:
    assert range_text(range_from(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "card",
        "card:",
        "card:62 73",
        "card:ab",
        "barcode:2a",
        "phone:0912",
        "phone:98",
        "mail:x",
        "card:۶",
    ],
)
def test_a_range_that_no_normal_form_can_have_is_refused(text: str) -> None:
    with pytest.raises(Unreadable, match="is not a range"):
        range_from(text)


def test_terms_are_read_whole_or_not_at_all() -> None:
    assert isinstance(read_terms(TWO), Terms)
    for broken in ("", "[coalition]\nid = 3", TWO + "\n[extra]\n", TWO.replace("Asia/Tehran", "Mars/One")):
        with pytest.raises(Unreadable):
            read_terms(broken)
