"""What all tests share: Hypothesis profiles, the one local Ray, short directories, the real baskets."""

import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Ray reads these when it is first imported, which a test module may do while it is collected.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # else Ray writes one into the home directory
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # off: Ray binds 127.0.0.1, not all interfaces

# No deadline: the machine is shared, and a slow example is no wrong one.
settings.register_profile("local", deadline=None, max_examples=60)
# CI examines the same examples every time, so that a failure there belongs to the change.
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.register_profile(
    "thorough",
    settings.get_profile("local"),
    max_examples=3_000,
    stateful_step_count=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("VAFA_HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "local"))

SHARED_DATA = Path(
    os.environ.get("VAFA_SHARED_DATA", Path(__file__).resolve().parent.parent.parent / "shared" / "data")
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sends all that runs on Ray to one worker of `pytest -n … --dist loadgroup`, so that Ray starts once."""
    for item in items:
        if "local_ray" in getattr(item, "fixturenames", ()):
            item.add_marker("ray")
        if item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.xdist_group("ray"))


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory with a path of few bytes: a Unix socket's path ends at 107, and Ray adds 70 of its own."""
    path = Path(tempfile.mkdtemp(prefix="vafa-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def _claimed_by_this_process() -> Path:
    """Fails where another process of this run has started Ray: then groups of pytest-xdist do not hold."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", secrets.token_hex(8))
    claim = Path(tempfile.gettempdir(), f"vafa-ray-of-{run}")
    try:
        claim.touch(exist_ok=False)
    except FileExistsError:
        pytest.fail("Two processes of one test run start Ray: the group of the tests on Ray has no effect.")
    return claim


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """The session's one Ray instance on loopback, started by the first test that asks for it.

    It has no CPUs to give, so that it keeps no idle workers: actors ask for `num_cpus=0`.
    """
    import ray

    claim = _claimed_by_this_process()
    directory = tempfile.mkdtemp(prefix="vafa-", dir="/tmp")
    ray.init(
        address="local",
        num_cpus=0,
        object_store_memory=80 * 1024 * 1024,  # the least is 75 MiB
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=directory,
    )
    yield
    ray.shutdown()
    shutil.rmtree(directory, ignore_errors=True)
    claim.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def complete_journey() -> Path:
    """The directory of the real baskets; the test is skipped where they are not at hand.

    They lie beside the repository, in ../shared/data, or in the directory that VAFA_SHARED_DATA names.
    """
    directory = SHARED_DATA / "complete-journey"
    if not directory.is_dir():
        pytest.skip(f"the real baskets are not at hand: no {directory}")
    return directory
