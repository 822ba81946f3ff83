"""`vafa restore` puts a backup in place, all of it or nothing, wherever it is killed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from node.people.text import isolate
from tests.cli.cli_shop import Shop

KEPT, GONE = "09124440001", "09124440002"


class Killed(BaseException):
    """The process is gone at this moment."""


@pytest.fixture(scope="module")
def backed_up(made_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with a backup, after which points were given and a person was erased."""
    shop = Shop(Path(shutil.copytree(made_shop, tmp_path_factory.mktemp("backed-up") / "shop")))
    with shop.serving():
        for phone, name in ((KEPT, "سارا"), (GONE, "نازنین")):
            assert shop.vafa("member", "enrol", "--given-name", name, "--phone", phone).status == 0
        assert shop.vafa("backup", "b1").status == 0
        adjusted = shop.vafa("member", "adjust", f"phone:{KEPT}", "--units", 70, "--reason", "later")
        assert adjusted.status == 0, adjusted.err
        assert shop.vafa("member", "erase", "--yes", f"phone:{GONE}").status == 0
    return shop.home


@pytest.fixture
def stopped(backed_up: Path, tmp_path: Path) -> Shop:
    """A copy of it, the test's own; it is stopped."""
    return Shop(Path(shutil.copytree(backed_up, tmp_path / "shop")))


def backup(shop: Shop) -> Path:
    return shop.home / "backups" / "b1"


def assert_restored(shop: Shop) -> None:
    """The books are as in the backup and clean, who was erased stays so, and the node serves."""
    assert shop.local("check", "--json").json()["clean"]
    doctor = shop.local("doctor", "--quiet")
    assert doctor.status == 0, doctor.out
    with shop.serving():
        kept = shop.vafa("member", "show", f"phone:{KEPT}").out
        gone = shop.vafa("member", "show", f"phone:{GONE}")
    assert isolate("سارا") in kept
    assert "points      0 spendable" in kept
    # The phone number came back with the books; the start took it off again.
    assert (gone.status, gone.out) == (1, "")
    assert "No member carries this identifier" in gone.err


def points_now(shop: Shop) -> str:
    with shop.serving():
        return shop.vafa("member", "balance", f"phone:{KEPT}").out.splitlines()[0]


def test_a_restored_node_serves_the_backups_books_and_erases_again(stopped: Shop) -> None:
    restored = stopped.local("restore", backup(stopped))
    assert restored.status == 0, restored.err
    assert "1 erased persons stay erased" in restored.out
    assert_restored(stopped)
    (before,) = stopped.home.glob("data.before-*")
    assert (before / "secrets" / "master.key").exists()


def test_a_phone_that_was_erased_can_be_anybody_elses_after_a_restore(stopped: Shop) -> None:
    assert stopped.local("restore", backup(stopped)).status == 0
    with stopped.serving():
        enrolled = stopped.vafa("member", "enrol", "--given-name", "رضا", "--phone", GONE)
        assert enrolled.status == 0, enrolled.err
        assert isolate("رضا") in stopped.vafa("member", "show", f"phone:{GONE}").out
    assert stopped.local("check", "--json").json()["clean"]


def test_the_stores_that_were_replaced_are_never_taken_for_the_new_ones(stopped: Shop) -> None:
    old = stopped.home / "old-shard"
    shutil.copytree(stopped.shards()[0], old)
    assert stopped.local("restore", backup(stopped)).status == 0
    place = stopped.data / stopped.shards()[0].name
    shutil.rmtree(place)
    old.rename(place)
    refused = stopped.local("check")
    assert refused.status == 1
    assert "generation" in refused.err


@pytest.mark.parametrize("at", range(4))
def test_a_restore_that_was_killed_is_finished_by_running_it_again(
    stopped: Shop, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """It renames the whole copy, then the old data, then the copy again; it dies before, between, after."""
    renamed: list[str] = []
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.parent == stopped.home:
            if len(renamed) == at:
                raise Killed
            renamed.append(self.name)
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with contextlib.suppress(Killed):
            stopped.local("restore", backup(stopped))
    assert renamed == ["data.restored.restoring", "data", "data.restored"][:at]
    again = stopped.local("restore", backup(stopped))
    assert again.status == 0, again.err
    assert_restored(stopped)


def test_between_the_two_renamings_everybody_is_told_to_finish(
    stopped: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.name == "data.restored":
            raise Killed
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(Killed):
            stopped.local("restore", backup(stopped))
    assert not stopped.data.exists()
    for words in (("run",), ("doctor",)):
        told = stopped.local(*words)
        assert told.status == 1
        assert "vafa restore" in told.out + told.err
    other = stopped.home / "backups" / "b2"
    finished = stopped.local("restore", other)
    assert finished.status == 1
    assert "Finished the interrupted restore" in finished.out
    assert f"{other} was not restored" in finished.err
    assert_restored(stopped)


def test_a_running_node_is_never_restored_under_its_feet(stopped: Shop) -> None:
    with stopped.serving():
        refused = stopped.local("restore", backup(stopped))
        assert stopped.vafa("status").status == 0
    assert (refused.status, refused.out) == (1, "")
    assert "Stop the node first" in refused.err
    assert "70 spendable" in points_now(stopped)


def other_merchant(shop: Shop) -> None:
    shop.set("id", '"shop-2"')


def other_partitions(shop: Shop) -> None:
    shop.set("partitions", "4")


def flipped_bit(shop: Shop) -> None:
    table = next(backup(shop).glob("shard-*/db/*.sst"))
    content = bytearray(table.read_bytes())
    content[-1] ^= 1
    table.write_bytes(content)


def unfinished(shop: Shop) -> None:
    (backup(shop) / "manifest.json").unlink()


def foreign_secrets(shop: Shop) -> None:
    (shop.data / "secrets" / "master.key").write_text("00" * 32)


def missing_secrets(shop: Shop) -> None:
    (shop.data / "secrets" / "master.key").unlink()


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (other_merchant, "belongs to merchant shop-1"),
        (other_partitions, "storage.partitions to 8"),
        (flipped_bit, "damaged"),
        (unfinished, "no backup"),
        (foreign_secrets, "not those of"),
        (missing_secrets, "master.key"),
    ],
)
def test_a_backup_that_does_not_fit_is_refused_and_nothing_is_touched(
    stopped: Shop, harm: Callable[[Shop], None], says: str
) -> None:
    harm(stopped)
    before = {path: path.read_bytes() for path in stopped.data.glob("shard-*/head")}
    refused = stopped.local("restore", backup(stopped))
    assert (refused.status, refused.out) == (1, "")
    assert says in refused.err
    assert {path: path.read_bytes() for path in stopped.data.glob("shard-*/head")} == before
    assert list(stopped.home.glob("data.before-*")) == []


def test_a_lost_disk_is_restored_from_the_backup_and_the_secrets(stopped: Shop) -> None:
    for store in (stopped.data / "control", *stopped.shards()):
        shutil.rmtree(store)
    restored = stopped.local("restore", backup(stopped))
    assert restored.status == 0, restored.err
    # Who was erased since is in the store that was lost: it says so, and until when it does know.
    assert "it is not known who was erased after" in restored.err
    assert stopped.local("check", "--json").json()["clean"]
    with stopped.serving():
        assert stopped.vafa("member", "show", f"phone:{KEPT}").status == 0
