"""What `vafa doctor` says of a coalition: each thing that can be wrong, and what to do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from node.cli.diagnosis import abroad
from node.cli.diagnosis.finding import Finding, Level
from node.coalition.directory import (
    CoalitionPurse,
    Directory,
    IdentifierRange,
    Key,
    Partner,
    PartnerStatus,
    Window,
)
from node.config import load
from node.identity.coalition_secrets import CoalitionSecrets
from node.identity.exchange_keys import load_exchange_keys
from node.identity.keys import load_secrets
from node.proto.vafa.coalition.v1 import coalition_service_pb2 as pb
from tests.cli.cli_shop import Shop
from tests.cli.test_cli_coalition import Operator, admitted, operator
from tests.cli.test_cli_doctor import findings

__all__ = ["operator"]  # the fixture

NOW_MS = time.time_ns() // 1_000_000
DAY_MS = abroad.DAY_MS


class Town:
    """An installation and a directory in which all is well."""

    def __init__(self, shop: Shop) -> None:
        self.config = load(shop.config_path)
        self.secrets = load_secrets(self.config.secrets_directory)
        keys = load_exchange_keys(self.config.secrets_directory, self.secrets.node_key_uri)
        self.own = Partner(
            self.config.merchant.id, "Shop", PartnerStatus.ACTIVE,
            keys=tuple(Key(uri, NOW_MS - DAY_MS) for uri in keys.uris),
            ranges=(IdentifierRange(1, "6273"),), partitions=self.config.storage.partitions,
            sealing_key=CoalitionSecrets(self.secrets.master_key).sealing.uri,
        )  # fmt: skip
        self.other = Partner(
            "nile", "Nile", PartnerStatus.ACTIVE, ("nile.example:7445",),
            keys=(Key("ed25519:" + "1" * 64, 0),), partitions=4,
        )  # fmt: skip

    def directory(self, **changes: Any) -> Directory:
        said: dict[str, Any] = {
            "partners": (self.own, self.other),
            "windows": (Window(1, 0, NOW_MS + 365 * DAY_MS),),
            "purse": CoalitionPurse("points"),
        }
        said |= changes
        return Directory(coalition_id="bazaar", version=3, publish_time_ms=NOW_MS - DAY_MS, **said)

    def said(self, **changes: Any) -> dict[str, Finding]:
        """What is not well with a directory, by check."""
        found = abroad.directory(self.directory(**changes), self.config, self.secrets, NOW_MS)
        return {one.check: one for one in found if one.level is not Level.OK}

    def own_said(self, **changes: Any) -> dict[str, Finding]:
        return self.said(partners=(replace(self.own, **changes), self.other))


@pytest.fixture
def town(shop: Shop) -> Town:
    return Town(shop)


def test_a_directory_in_which_all_is_well_is_said_to_be_well(town: Town) -> None:
    assert town.said() == {}


@pytest.mark.parametrize(("days", "level"), [(29, Level.WARN), (0, Level.WRONG)])
def test_a_calendar_that_ends_is_said_before_and_after(town: Town, days: int, level: Level) -> None:
    found = town.said(windows=(Window(1, 0, NOW_MS + days * DAY_MS),))
    assert found["directory"].level is level
    assert found["directory"].todo


def test_who_is_not_admitted_suspended_or_has_no_members_is_told(town: Town) -> None:
    assert town.said(partners=(town.other,))["coalition"].level is Level.WRONG
    assert "suspended" in town.own_said(status=PartnerStatus.SUSPENDED)["coalition"].text
    assert "stay at home" in town.own_said(ranges=())["coalition"].text
    assert town.own_said(partitions=99)["coalition"].level is Level.WRONG


def test_keys_that_end_are_told_a_month_before_ours_and_theirs(town: Town) -> None:
    (key,) = town.own.keys
    ended = town.own_said(keys=(replace(key, not_after_ms=NOW_MS - 1),))
    assert ended["exchange keys"].level is Level.WRONG
    soon = town.own_said(keys=(replace(key, not_after_ms=NOW_MS + 29 * DAY_MS),))
    assert soon["exchange keys"].level is Level.WARN
    assert "--new-key" in soon["exchange keys"].todo
    theirs = replace(town.other, keys=(Key("ed25519:" + "1" * 64, 0, NOW_MS + DAY_MS),))
    assert "nile" in town.said(partners=(town.own, theirs))["partners"].text


def test_another_key_for_what_relays_carry_is_told_where_there_is_a_relay(town: Town) -> None:
    changed = {"sealing_key": "x25519:" + "2" * 64}
    assert town.own_said(**changed) == {}
    assert "does not open" in town.own_said(relay_partner_id="nile", **changed)["exchange keys"].text


# --- partners ----------------------------------------------------------------------------------------------


def link(**changes: Any) -> pb.PartnerLink:
    said: dict[str, Any] = {"partner_id": "nile", "connected": True, "cap_units": 1_000}
    made = pb.PartnerLink(**(said | {"partner_cap_units": 1_000} | changes))
    if not made.lanes:
        made.lanes.add(home=True, lane=0, open=True)
    return made


def about(town: Town, *links: pb.PartnerLink) -> dict[str, Finding]:
    found = abroad.partners(town.directory(), links, town.config, NOW_MS)
    return {one.check: one for one in found if one.level is not Level.OK and one.check != "messages"}


def test_a_partner_with_whom_all_is_well_takes_one_line(town: Town) -> None:
    assert about(town, link(used_units=799)) == {}


def test_a_partner_that_is_away_is_named_with_where_it_is_dialled(town: Town) -> None:
    assert "nile.example:7445" in about(town, link(connected=False))["partners"].todo


def test_lanes_that_are_shut_and_lanes_that_are_set_aside_are_told_apart(town: Town) -> None:
    shut = pb.LaneStanding(home=True, lane=1)
    aside = pb.LaneStanding(home=False, lane=2, number=7, dispute="wrong_window")
    assert about(town, link(lanes=[shut]))["lanes"].level is Level.WARN
    found = about(town, link(lanes=[aside]))["lanes"]
    assert found.level is Level.WRONG
    assert "wrong_window" in found.text
    assert "vafa lane proof nile --abroad --lane 2" in found.todo


@pytest.mark.parametrize("side", ["used_units", "partner_used_units"])
def test_a_cap_of_which_four_fifths_are_used_is_told_whoever_owes(town: Town, side: str) -> None:
    assert "800 of the 1000" in about(town, link(**{side: 800}))["caps"].text


def test_what_waits_for_an_hour_and_a_clock_that_differs_are_told(town: Town) -> None:
    waits = link(waiting_exchanges=3)
    waits.oldest_exchange_time.FromMilliseconds(NOW_MS - 2 * 3_600_000)
    assert "3 exchanges wait" in about(town, waits)["partners"].text
    waits.oldest_exchange_time.FromMilliseconds(NOW_MS - 60_000)
    assert about(town, waits) == {}
    assert "40 s behind" in about(town, link(clock_known=True, clock_ahead_ms=-40_000))["clock"].text
    assert about(town, link(clock_known=False, clock_ahead_ms=-40_000)) == {}


# --- whole -------------------------------------------------------------------------------------------------


def test_a_node_in_a_coalition_is_looked_at_stopped_and_running(
    operator: Operator,
    shop: Shop,
    tmp_path: Path,
) -> None:
    assert "directory" not in {one["check"] for one in findings(shop)}
    admitted(operator, shop, tmp_path)
    assert shop.local("join", "--directory", operator.newest, "--operator-key", operator.key).status == 0
    stopped = {one["check"]: one for one in findings(shop)}
    assert stopped["directory"]["level"] == stopped["exchange keys"]["level"] == "OK"
    with shop.serving():
        found = {one["check"]: one for one in findings(shop, "--address", shop.served.address)}
        assert found["directory"]["level"] == found["exchange keys"]["level"] == "OK"
        assert found["messages"]["level"] == "WARN"
        assert "programme" not in found
        listed = shop.vafa("lane", "list")
        assert listed.status == 1
        assert "no partner" in listed.err
