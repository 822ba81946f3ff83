"""From an empty operator directory to a node that follows: `vafa operator`, `join` and `directory`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from node.coalition.directory import Directory
from node.wire.coalition_directory import DIRECTORY_LABEL, read_directory, unarmoured
from tests.cli.cli_shop import Ran, Shop, run_vafa


@dataclass
class Operator:
    """An operator's directory, and commands on it."""

    home: Path
    key: str

    def vafa(self, *arguments: object) -> Ran:
        return run_vafa("operator", *arguments, "--dir", self.home)

    @property
    def newest(self) -> Path:
        return self.home / "nile-union.directory"

    def directory(self) -> Directory:
        return read_directory(unarmoured(DIRECTORY_LABEL, self.newest.read_text("utf-8"))).directory

    def edit(self, old: str, new: str) -> None:
        path = self.home / "coalition.toml"
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    home = tmp_path / "operator"
    made = run_vafa("operator", "init", home, "--coalition", "nile-union", "--timezone", "Africa/Cairo")
    assert made.status == 0, made.err
    return Operator(home, made.out.split("The key that signs: ")[1].split()[0])


def ask(shop: Shop, out: Path, *more: object) -> Ran:
    return shop.local("join", "nile-union", "--out", out, *more)


def admitted(operator: Operator, shop: Shop, tmp_path: Path) -> None:
    request = tmp_path / "shop-1.request"
    assert ask(shop, request, "--range", "card:6273", "--range", "phone:+98912").status == 0
    found = operator.vafa("admit", "shop-1", "--request", request)
    assert found.status == 0, found.err
    published = operator.vafa("publish")
    assert published.status == 0, published.err


def test_a_merchant_asks_is_admitted_and_follows_the_directory(
    operator: Operator, shop: Shop, tmp_path: Path
) -> None:
    admitted(operator, shop, tmp_path)
    joined = shop.local("join", "--directory", operator.newest, "--operator-key", operator.key)
    assert joined.status == 0, joined.err
    assert "version 1 of nile-union" in joined.out
    assert "shop-1 is active" in joined.out
    assert "card:6273, phone:+98912" in joined.out
    with shop.serving():
        shown = shop.vafa("directory", "show")
        assert "Coalition nile-union, version 1" in shown.out
        assert shop.vafa("directory", "show", "--json").json()["partners"][0]["partner_id"] == "shop-1"


def test_a_node_takes_a_newer_directory_while_it_serves(
    operator: Operator, shop: Shop, tmp_path: Path
) -> None:
    admitted(operator, shop, tmp_path)
    with shop.serving():
        assert "in no coalition" in shop.vafa("directory", "show").err
        refused = shop.vafa("join", "--directory", operator.newest)
        assert refused.status == 1
        assert "--operator-key" in refused.err
        assert shop.vafa("join", "--directory", operator.newest, "--operator-key", operator.key).status == 0
        operator.edit("hold_seconds_max = 86400", "hold_seconds_max = 3600")
        old = operator.newest.read_text("utf-8")
        assert operator.vafa("publish").status == 0
        assert "version 2" in shop.vafa("join", "--directory", operator.newest).out
        again = tmp_path / "old.directory"
        again.write_text(old, "utf-8")
        older = shop.vafa("join", "--directory", again)
        assert older.status == 1
        assert "follows 2 already" in older.err


def test_another_operators_directory_is_not_taken(operator: Operator, shop: Shop, tmp_path: Path) -> None:
    admitted(operator, shop, tmp_path)
    wrong = shop.local("join", "--directory", operator.newest, "--operator-key", "ed25519:" + "00" * 32)
    assert wrong.status == 1
    assert "not the operator's key" in wrong.err
    text = operator.newest.read_text("utf-8")
    torn = tmp_path / "torn.directory"
    torn.write_text(text[: len(text) // 2], "utf-8")
    assert "whole block" in shop.local("join", "--directory", torn, "--operator-key", operator.key).err


def test_publishing_twice_without_a_change_makes_no_new_version(operator: Operator) -> None:
    assert "Published version 1" in operator.vafa("publish").out
    assert "Nothing has changed" in operator.vafa("publish").out
    operator.edit("hold_seconds_max = 86400", "hold_seconds_max = 3600")
    assert "Published version 2" in operator.vafa("publish").out
    assert len(list((operator.home / "published").iterdir())) == 2


def test_windows_follow_the_calendar_without_gaps_and_stay_as_they_were_published(operator: Operator) -> None:
    assert operator.vafa("publish").status == 0
    before = operator.directory().windows
    assert len(before) >= 24
    operator.edit('every = "month"', 'every = "week"')
    assert operator.vafa("publish").status == 0
    after = operator.directory().windows
    assert after[0] == before[0]
    assert all(one.cut_time_ms == two.open_time_ms for one, two in pairwise(after))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("accrual_micro = 1000000", "accrual_micro = 7", "Rate version 1 was changed"),
        ('id = "nile-union"', 'id = "another"', "nile-union"),
        ('every = "month"', 'every = "fortnight"', "calendar.every"),
        ('"Africa/Cairo"', '"Africa/Karnak"', "not a time zone"),
        ("T00:00:00Z", "T00:00:00", "offset from UTC"),
        ("[caps]", "[caps]\nunits = 3", "units"),
        ("freshness_seconds = 300", "freshness_seconds = 1", "freshness_seconds"),
        ('code = "points"', "code = ", "not TOML"),
    ],
)
def test_terms_that_nobody_would_follow_are_not_published(
    operator: Operator, old: str, new: str, words: str
) -> None:
    assert operator.vafa("publish").status == 0
    operator.edit(old, new)
    refused = operator.vafa("publish")
    assert refused.status == 1
    assert words in refused.err
    assert "Nothing was published" in refused.err
    assert operator.directory().version == 1


def test_a_request_is_admitted_only_for_whom_it_is(operator: Operator, shop: Shop, tmp_path: Path) -> None:
    request = tmp_path / "one.request"
    ask(shop, request)
    wrong = operator.vafa("admit", "other-shop", "--request", request)
    assert "a request of 'shop-1'" in wrong.err
    foreign = tmp_path / "foreign.request"
    shop.local("join", "another-union", "--out", foreign)
    assert "'another-union'" in operator.vafa("admit", "shop-1", "--request", foreign).err
    assert operator.vafa("publish").status == 0
    assert operator.directory().partners == ()


def test_a_range_that_is_none_makes_no_request(shop: Shop, tmp_path: Path) -> None:
    for text in ("6273", "card:", "phone:0912", "card:abc", "iban:IR"):
        wrong = ask(shop, tmp_path / "x.request", "--range", text)
        assert wrong.status == 1
        assert "No request was made" in wrong.err
    assert not (tmp_path / "x.request").exists()


def test_a_suspended_partner_and_an_ended_key_stand_in_the_next_directory(
    operator: Operator, shop: Shop, tmp_path: Path
) -> None:
    admitted(operator, shop, tmp_path)
    key = operator.directory().partners[0].keys[0].uri
    operator.edit(
        '[partners.shop-1]\nstatus = "active"',
        f'[partners.shop-1]\nended_keys = {{ "{key}" = 2026-01-01T00:00:00Z }}\nstatus = "suspended"',
    )
    refused = operator.vafa("publish")
    assert "ends before it begins" in refused.err  # it was admitted later than that
    operator.edit("2026-01-01T00:00:00Z", "2100-01-01T00:00:00Z")
    assert operator.vafa("publish").status == 0
    partner = operator.directory().partners[0]
    assert partner.status.name == "SUSPENDED"
    assert partner.keys[0].not_after_ms == 4_102_444_800_000


def test_a_merchants_new_key_is_admitted_by_its_old_one(
    operator: Operator, shop: Shop, tmp_path: Path
) -> None:
    admitted(operator, shop, tmp_path)
    old = operator.directory().partners[0].keys[0]
    request = tmp_path / "new.request"
    assert ask(shop, request, "--range", "card:6273", "--new-key").status == 0
    assert operator.vafa("admit", "shop-1", "--request", request).status == 0
    assert operator.vafa("publish").status == 0
    first, second = operator.directory().partners[0].keys
    assert first == old
    assert second.uri != old.uri
    assert "newer" in operator.vafa("admit", "shop-1", "--request", tmp_path / "shop-1.request").err


def test_somebody_elses_keys_are_not_admitted_in_a_partners_place(
    operator: Operator, shop: Shop, made_shop: Path, tmp_path: Path
) -> None:
    admitted(operator, shop, tmp_path)
    impostor = tmp_path / "impostor"
    assert (
        run_vafa("init", impostor, "--merchant", "shop-1", "--partitions", "8", "--shards", "2").status == 0
    )
    request = tmp_path / "impostor.request"
    assert run_vafa("join", "nile-union", "--out", request, "--config", impostor / "vafa.toml").status == 0
    refused = operator.vafa("admit", "shop-1", "--request", request)
    assert "none of the keys that shop-1 had" in refused.err
    assert operator.vafa("admit", "shop-1", "--request", request, "--replace-keys").status == 0


def test_the_operator_changes_its_key_and_nodes_follow(
    operator: Operator, shop: Shop, tmp_path: Path
) -> None:
    admitted(operator, shop, tmp_path)
    assert shop.local("join", "--directory", operator.newest, "--operator-key", operator.key).status == 0
    assert "no next key" in operator.vafa("rotate-key", "--finish").err
    assert operator.vafa("rotate-key").status == 0
    assert "does not name the next key yet" in operator.vafa("rotate-key", "--finish").err
    for step in ("publish", "rotate-key --finish", "publish"):
        assert operator.vafa(*step.split()).status == 0
        if step == "publish":
            assert shop.local("join", "--directory", operator.newest).status == 0
    assert [key.uri for key in operator.directory().operator_keys] != [operator.key]
    assert json.loads(run_vafa("directory", "show", operator.newest, "--json").out)["version"] == "3"


def test_an_operators_directory_is_made_once(operator: Operator) -> None:
    again = run_vafa("operator", "init", operator.home, "--coalition", "nile-union")
    assert again.status == 1
    assert "Nothing was changed" in again.err
