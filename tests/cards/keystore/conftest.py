"""Both kinds of key store for the same tests: a sealed file, and a token of SoftHSM2."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cards.keystore import KeyStore, Pkcs11Store, SealedFileStore

PASSPHRASE = "several words at random"
PIN = "97531"
TOKEN = "vafa tests"
CHEAP = 14
"""The least cost that a store accepts, so that tests need not wait."""
_LIBRARIES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so")


def _absent(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"CI must have SoftHSM2: {reason}")
    pytest.skip(f"no SoftHSM2 here: {reason}")


@pytest.fixture
def sealed(tmp_path: Path) -> SealedFileStore:
    """An empty sealed file."""
    return SealedFileStore.create(tmp_path / "keys", PASSPHRASE, cost_log2=CHEAP)


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SoftHSM2's library, its tokens in a directory of these tests. It reads its configuration once."""
    library = next((Path(path) for path in _LIBRARIES if Path(path).exists()), None)
    if library is None or shutil.which("softhsm2-util") is None:
        _absent("softhsm2 is not installed (apt-get install softhsm2)")
        raise AssertionError("unreachable")
    if importlib.util.find_spec("pkcs11") is None:
        _absent("python-pkcs11 is not installed (the extra `cards`)")
    home = tmp_path_factory.mktemp("softhsm")
    (home / "tokens").mkdir()
    configuration = home / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {home / 'tokens'}\nlog.level = ERROR\n", encoding="utf-8"
    )
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    # Before the library is loaded: it looks for tokens only then.
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--so-pin", "13579", "--pin", PIN],
        check=True,
        capture_output=True,
    )
    return library


@pytest.fixture
def token(softhsm: Path) -> Iterator[str]:
    """A token with nothing in it, for one test."""
    yield TOKEN
    with Pkcs11Store.open(softhsm, TOKEN, PIN) as store:
        for found in store._session.get_objects():
            found.destroy()


@pytest.fixture
def module_store(softhsm: Path, token: str) -> Iterator[Pkcs11Store]:
    """An empty token, open."""
    with Pkcs11Store.open(softhsm, token, PIN) as store:
        yield store


@pytest.fixture(params=["sealed", "module_store"])
def store(request: pytest.FixtureRequest) -> KeyStore:
    """Each kind of store in turn."""
    found: KeyStore = request.getfixturevalue(request.param)
    return found
