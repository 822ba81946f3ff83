"""What the command line's tests share: an installation, and a node that serves it."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.cli_shop import Shop, run_vafa


@pytest.fixture(scope="session", autouse=True)
def few_objects_to_walk() -> None:
    """Every close of a store collects garbage, which takes a while with all of pytest's modules loaded."""
    gc.freeze()


@pytest.fixture(scope="session")
def made_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with two shards and eight partitions, made once, to be copied."""
    home = tmp_path_factory.mktemp("made") / "shop"
    options = (
        "--listen 127.0.0.1:0 --enrol-listen 127.0.0.1:0 --metrics 127.0.0.1:0 --partitions 8 --shards 2"
    )
    made = run_vafa("init", home, "--merchant", "shop-1", "--name", "فروشگاه وفا", *options.split())
    assert made.status == 0, made.err
    return home


@pytest.fixture
def shop(made_shop: Path, tmp_path: Path) -> Shop:
    """An installation of the test's own."""
    return Shop(Path(shutil.copytree(made_shop, tmp_path / "shop")))


@pytest.fixture(scope="module")
def open_shop(made_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An installation that serves, shared by the module's tests: each uses members of its own."""
    found = Shop(Path(shutil.copytree(made_shop, tmp_path_factory.mktemp("open") / "shop")))
    with found.serving():
        yield found


@pytest.fixture
def new_member(open_shop: Shop) -> Callable[[], str]:
    """Enrols a member and gives the account id."""

    def enrol() -> str:
        return str(open_shop.vafa("member", "enrol", "--given-name", "Ali", "--json").json()["account_id"])

    return enrol
