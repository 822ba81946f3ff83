"""Whoever launches a node hears at once, and in its own words, when it does not come up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from node.config import default_toml, load
from simulators import launch
from simulators.launch import NodeFailed, NodeUnderTest

SERVES = """
import json, os, pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(sys.argv[2])))
path = pathlib.Path(sys.argv[1])
path.write_text('{"address": ')
path.write_text(json.dumps({"address": "127.0.0.1:1", "enrol_address": "127.0.0.1:2",
                            "metrics_address": "127.0.0.1:3", "pid": os.getpid()}))
print("serving", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def node(tmp_path: Path) -> NodeUnderTest:
    """An installation's file; what runs in place of the node is each test's choice."""
    (tmp_path / "node").mkdir()
    toml = default_toml(
        "shop", name="Shop", time_zone="Asia/Tehran", currency="IRR", currency_exponent=0, country="IR"
    )
    (tmp_path / "node" / "vafa.toml").write_text(toml, encoding="utf-8")
    return NodeUnderTest(tmp_path, "shop")


def run_instead(monkeypatch: pytest.MonkeyPatch, program: str, *arguments: str) -> None:
    def command(*_: str) -> list[str]:
        return [sys.executable, "-c", program, *arguments]

    monkeypatch.setattr(launch, "_vafa", command)


def test_a_node_that_serves_is_reached_until_it_is_stopped(
    node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead(monkeypatch, SERVES, str(node.directory / "ready.json"), "0")
    with node:
        assert node.addresses.serving == "127.0.0.1:1"
        assert node.addresses.enrolment == "127.0.0.1:2"
        assert node.addresses.metrics == "127.0.0.1:3"
        first = node.addresses.pid
        assert node.restart().pid != first
    with pytest.raises(NodeFailed, match="not running"):
        _ = node.addresses


def test_a_node_that_ends_before_it_serves_is_reported_with_its_last_words(
    node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead(monkeypatch, "import sys; sys.exit('The store is locked by process 7.')")
    started = time.monotonic()
    with pytest.raises(NodeFailed, match=r"status 1 .*\n.*locked by process 7"):
        node.start()
    assert time.monotonic() - started < 30
    with pytest.raises(NodeFailed, match="not running"):
        node.stop()


def test_a_node_that_never_serves_is_given_up_and_ended(
    node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead(monkeypatch, "import threading; threading.Event().wait()")
    with pytest.raises(NodeFailed, match="did not serve within"):
        node.start(deadline_seconds=0.5)
    with pytest.raises(NodeFailed, match="not running"):
        node.kill()


def test_a_node_that_ends_badly_when_asked_to_stop_is_reported(
    node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead(monkeypatch, SERVES, str(node.directory / "ready.json"), "3")
    node.start()
    with pytest.raises(NodeFailed, match="status 3"):
        node.stop()


def test_a_node_that_does_not_stop_is_ended_and_reported(
    node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = SERVES.replace("lambda *_: sys.exit(int(sys.argv[2]))", "signal.SIG_IGN")
    run_instead(monkeypatch, deaf, str(node.directory / "ready.json"), "0")
    pid = node.start().pid
    with pytest.raises(NodeFailed, match="did not stop within"):
        node.stop(deadline_seconds=0.5)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_second_interrupt_while_the_node_stops_does_not_leave_it_running(
    node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead(monkeypatch, SERVES, str(node.directory / "ready.json"), "0")
    pid = node.start().pid

    class Impatient(subprocess.Popen[bytes]):
        def wait(self, timeout: float | None = None) -> int:
            if timeout is not None:
                raise KeyboardInterrupt
            return super().wait()

    assert node._process is not None
    node._process.__class__ = Impatient
    with pytest.raises(KeyboardInterrupt):
        node.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_ready_file_of_an_earlier_run_is_not_believed(
    node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead(monkeypatch, SERVES, str(node.directory / "ready.json"), "0")
    with node:
        pass
    run_instead(monkeypatch, "import sys; sys.exit(1)")
    with pytest.raises(NodeFailed, match="before it served"):
        node.start()


def test_a_ready_file_that_is_half_written_is_waited_for(node: NodeUnderTest) -> None:
    path = node.directory / "ready.json"
    whole = json.dumps({"address": "a:1", "enrol_address": "a:2", "metrics_address": "a:3", "pid": 7})
    path.write_text(whole[:40], encoding="utf-8")
    assert launch._read_ready(path) is None
    path.write_text(whole, encoding="utf-8")
    assert launch._read_ready(path) == launch.Addresses("a:1", "a:2", "a:3", 7)


def test_settings_are_changed_in_the_file_and_the_rest_stays(node: NodeUnderTest) -> None:
    before = load(node.config_path)
    node.configure({"limits.lateness_days": 365, "limits.request_retention_days": 400, "log.level": "debug"})
    after = load(node.config_path)
    assert (after.limits.lateness_days, after.limits.request_retention_days) == (365, 400)
    assert after.log.level == "debug"
    assert (after.merchant, after.node, after.storage) == (before.merchant, before.node, before.storage)
    assert "# Days by which a till" in node.config_path.read_text(encoding="utf-8")


@pytest.mark.parametrize("key", ["limits.lateness", "log.lateness_days", "lateness_days"])
def test_a_setting_that_the_file_does_not_know_is_refused(node: NodeUnderTest, key: str) -> None:
    with pytest.raises(KeyError):
        node.configure({key: 1})


WITH_A_CHILD = """
import json, os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(json.dumps({"address": "127.0.0.1:1", "enrol_address": "127.0.0.1:2",
    "metrics_address": "127.0.0.1:3", "peer_address": "127.0.0.1:4", "pid": child.pid}))
time.sleep(600)
"""


def test_a_kill_takes_every_process_of_the_node_at_once(
    node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead(monkeypatch, WITH_A_CHILD, str(node.directory / "ready.json"))
    child = node.start().pid
    node.kill()
    give_up_at = time.monotonic() + 10
    while _runs(child) and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    """Whether a process is there and not merely waited for by whoever inherits it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_node_can_be_told_to_keep_the_ports_that_the_system_chose(
    node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead(monkeypatch, WITH_A_CHILD, str(node.directory / "ready.json"))
    assert node.start().peers == "127.0.0.1:4"
    node.keep_addresses()
    node.kill()
    config = load(node.config_path)
    assert (config.node.listen, config.node.enrol_listen) == ("127.0.0.1:1", "127.0.0.1:2")
    assert (config.node.metrics_listen, config.coalition.peer_listen) == ("127.0.0.1:3", "127.0.0.1:4")
