"""`vafa shards`: partitions move, the books stay, and a killed command is finished by running it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cli import shards as command
from node.cli.shards import balancing
from node.storage.move import move_partition
from tests.cli.cli_shop import Shop


class Killed(BaseException):
    """The process is gone at this moment."""


def hosting(shop: Shop) -> dict[str, list[int]]:
    """Partitions by store id, in the order of the shards."""
    return {one["store_id"]: one["partitions"] for one in shop.local("shards", "list", "--json").json()}


def with_members(shop: Shop, count: int) -> None:
    with shop.serving():
        for number in range(count):
            enrol = ("member", "enrol", "--phone", f"0912333{number:04}")
            account = shop.vafa(*enrol, "--json").json()["account_id"]
            assert shop.vafa("member", "adjust", account, "--units", 10, "--reason", "start").status == 0


def assert_serves(shop: Shop, count: int) -> None:
    """The books are proven, and every member is where the node looks for them."""
    assert shop.local("check", "--json").json()["clean"]
    with shop.serving():
        for number in range(count):
            assert "10 spendable" in shop.vafa("member", "balance", f"phone:0912333{number:04}").out
        status = shop.vafa("status", "--json").json()
    assert int(status["accounts"]) == count
    assert sorted(place for shard in status["shards"] for place in shard["partitions"]) == list(range(8))


def test_more_shards_and_fewer_share_the_partitions_evenly_and_keep_every_member(shop: Shop) -> None:
    with_members(shop, 6)
    before = list(hosting(shop))
    assert shop.local("shards", "set-count", 4).status == 0
    grown = hosting(shop)
    assert list(grown)[:2] == before  # they keep their numbers, and so their pins
    assert sorted(map(len, grown.values())) == [2, 2, 2, 2]
    assert_serves(shop, 6)
    assert shop.local("shards", "set-count", 1).status == 0
    assert list(hosting(shop)) == before[:1]
    assert len(list(shop.data.glob("emptied-shard-*"))) == 3  # renamed, not deleted
    assert_serves(shop, 6)


def test_one_partition_moves_where_it_is_sent(shop: Shop) -> None:
    with_members(shop, 3)
    first, second = hosting(shop)
    moved = hosting(shop)[first][0]
    assert shop.local("shards", "move", moved, 1).status == 0
    assert moved in hosting(shop)[second]
    again = shop.local("shards", "move", moved, 1)
    assert (again.status, again.out) == (0, f"Partition {moved} is in shard 1 already.\n")
    assert_serves(shop, 3)
    assert shop.local("shards", "move", 0, 7).status == 2
    assert shop.local("shards", "move", 60, 0).status == 2


def killed_in_move(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def move(source: Path, target: Path, partition: int) -> None:
        def progress(done: str, keys: int) -> None:
            if done == step:
                raise Killed

        move_partition(source, target, partition, progress=progress)

    monkeypatch.setattr(command, "move_partition", move)


def killed_before_registering(monkeypatch: pytest.MonkeyPatch) -> None:
    def register(*given: object) -> None:
        raise Killed

    monkeypatch.setattr(command, "register_store", register)


def killed_before_renaming(monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(self: Path, target: Path) -> None:
        raise Killed

    monkeypatch.setattr(Path, "rename", rename)


@pytest.mark.parametrize(
    ("count", "kill"),
    [
        (3, killed_before_registering),
        (3, lambda patch: killed_in_move(patch, "begun")),
        (3, lambda patch: killed_in_move(patch, "copied")),
        (3, lambda patch: killed_in_move(patch, "owned")),
        (1, lambda patch: killed_in_move(patch, "released")),
        (1, lambda patch: killed_in_move(patch, "deleted")),
        (1, killed_before_renaming),
    ],
)
def test_a_change_that_was_killed_is_finished_by_running_it_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, count: int, kill: Callable[[pytest.MonkeyPatch], None]
) -> None:
    with_members(shop, 3)
    with monkeypatch.context() as patch:
        kill(patch)
        with pytest.raises(Killed):
            shop.local("shards", "set-count", count)
    finished = shop.local("shards", "set-count", count)
    assert finished.status == 0, finished.err
    assert len(hosting(shop)) == len(shop.shards()) == count
    assert_serves(shop, 3)


def test_an_interrupted_move_is_finished_before_another_begins(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = hosting(shop).values()
    with monkeypatch.context() as patch:
        killed_in_move(patch, "owned")
        with pytest.raises(Killed):
            shop.local("shards", "move", first[0], 1)
    assert "was interrupted" in shop.local("shards", "list").out
    assert shop.local("check").status == 1  # it may not serve half-way
    assert shop.local("shards", "move", second[0], 0).status == 0
    after_first, after_second = hosting(shop).values()
    assert (second[0] in after_first, first[0] in after_second) == (True, True)


def test_nothing_is_moved_under_a_running_node(shop: Shop) -> None:
    with shop.serving():
        for words in (("list",), ("move", 0, 1), ("set-count", 3)):
            refused = shop.local("shards", *words)
            assert (refused.status, refused.out) == (1, "")
            assert "in use" in refused.err
            assert "`vafa status`" in refused.err


def test_the_configuration_follows_the_number_and_pins_are_left_to_a_person(shop: Shop) -> None:
    assert shop.local("shards", "set-count", 4).status == 0
    assert "\nshards = 4\n" in shop.config_path.read_text("utf-8")
    assert "# Processes that share the partitions" in shop.config_path.read_text("utf-8")
    shop.set("shards", "0")
    shop.set("shard_pins", '["a", "b", "c", "d"]')
    changed = shop.local("shards", "set-count", 2)
    assert "2 pins" in changed.err
    assert 'shard_pins = ["a", "b", "c", "d"]' in shop.config_path.read_text("utf-8")


def test_more_shards_than_partitions_are_refused(shop: Shop) -> None:
    refused = shop.local("shards", "set-count", 9)
    assert (refused.status, len(shop.shards())) == (1, 2)
    assert "Nothing was changed" in refused.err


@given(
    hosted=st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any),
    count=st.integers(1, 8),
)
def test_balancing_is_even_and_moves_no_more_than_it_must(hosted: list[int], count: int) -> None:
    numbered = iter(range(sum(hosted)))
    shards = [[next(numbered) for _ in range(size)] for size in hosted]
    shards += [[] for _ in range(count - len(shards))]
    moves = balancing(shards, count)
    after = [list(one) for one in shards]
    for partition, giver, taker in moves:
        after[giver].remove(partition)
        after[taker].append(partition)
    sizes = [len(one) for one in after]
    assert sum(sizes[count:]) == 0
    assert max(sizes[:count]) - min(sizes[:count]) <= 1
    # Every move fills a place of a shard that lacks one in any even sharing: one that stays moves nothing.
    share = -(-sum(hosted) // count)
    assert all(len(shards[taker]) < share for _, _, taker in moves)
    assert len({partition for partition, _, _ in moves}) == len(moves)
