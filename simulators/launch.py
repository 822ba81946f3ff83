"""A real node as a process of its own, for the demo, the load, the benches and the tests.

It is started as its owner would start it (`vafa init`, `vafa run`), only on ports of the system's choice.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from node.identity.ca import Authority, issue_client_certificate
from node.identity.caller import Caller, Role
from node.identity.keys import load_secrets
from simulators.enrolment import TillCertificate, new_key_and_request

START_DEADLINE_SECONDS = 120.0
"""Ray takes a few seconds to start, many more on a machine that is busy."""
STOP_DEADLINE_SECONDS = 60.0

_POLL_SECONDS = 0.05
_LOG_TAIL_BYTES = 3_000
_CERTIFICATE_DAYS = 30

Setting = str | int | bool


class NodeFailed(Exception):
    """The node did not do what was asked of it; the text ends with the last of its log."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a serving node is reached, each as host:port, and its process. `peers` is where partners dial
    it, "" where they cannot."""

    serving: str
    enrolment: str
    metrics: str
    pid: int
    peers: str = ""


class NodeUnderTest:
    """An installation below `directory` and, between `start` and `stop` or `kill`, its process.

    As a context manager it serves inside the block and is stopped at its end, unless it was before.
    `directory` holds the installation in `node/`, the process's output in `node.log`, and `ready.json`.
    """

    def __init__(self, directory: Path, merchant: str) -> None:
        self.directory = directory
        self.merchant = merchant
        self.installation = directory / "node"
        self.config_path = self.installation / "vafa.toml"
        self.log_path = directory / "node.log"
        self._ready_path = directory / "ready.json"
        self._process: subprocess.Popen[bytes] | None = None
        self._addresses: Addresses | None = None
        self._authority: Authority | None = None

    @property
    def addresses(self) -> Addresses:
        """Where the node serves; `NodeFailed` while it does not."""
        if self._addresses is None:
            raise NodeFailed("The node is not running.")
        return self._addresses

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    # --- its life ---------------------------------------------------------------------------------

    def start(self, *, deadline_seconds: float = START_DEADLINE_SECONDS) -> Addresses:
        """Start the process and wait until it serves. `NodeFailed` when it ends instead or is late."""
        if self._process is not None:
            raise NodeFailed("The node is running already.")
        self._ready_path.unlink(missing_ok=True)
        arguments = ["run", "--config", str(self.config_path), "--ready-file", str(self._ready_path)]
        with self.log_path.open("ab") as log:
            # A session of its own: an interrupt at the keyboard is for whoever launched the node, who then
            # stops it in good order.
            self._process = subprocess.Popen(  # noqa: S603 - the node itself
                _vafa(*arguments), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._addresses = self._wait_until_ready(deadline_seconds)
        except BaseException:
            self._end(signal.SIGKILL)
            raise
        return self._addresses

    def stop(self, *, deadline_seconds: float = STOP_DEADLINE_SECONDS) -> None:
        """Ask the node to drain and end (SIGTERM) and wait. `NodeFailed` when it ends badly or not."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(deadline_seconds)
        except BaseException as error:
            # Too slow, or somebody pressed Ctrl-C once more: in no case is it left running.
            self._end(signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            tail = self._log_tail()
            raise NodeFailed(f"The node did not stop within {deadline_seconds:.0f} s.{tail}") from None
        self._end(None)
        if status != 0:
            raise NodeFailed(f"The node stopped with status {status}.{self._log_tail()}")

    def kill(self) -> None:
        """End the node as a crash would: SIGKILL to all of its processes at once, no draining."""
        self._running()
        self._end(signal.SIGKILL)

    def keep_addresses(self) -> None:
        """Write the ports that the system chose into the configuration: the next start serves there again."""
        addresses = self.addresses
        self.configure(
            {
                "node.listen": addresses.serving,
                "node.enrol_listen": addresses.enrolment,
                "node.metrics_listen": addresses.metrics,
                "coalition.peer_listen": addresses.peers,
            }
        )

    def restart(self) -> Addresses:
        """Stop, and start again. Ports change when the configuration leaves them to the system."""
        self.stop()
        return self.start()

    # --- its command line and settings ------------------------------------------------------------

    def vafa(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the `vafa` command to its end, whatever its status; output and errors as text."""
        return run_vafa(*arguments)

    def configure(self, settings: Mapping[str, Setting]) -> None:
        """Change keys of the installation's file, named "section.key"; read at the next start."""
        text = self.config_path.read_text(encoding="utf-8")
        for key, value in settings.items():
            text = _with_setting(text, key, value)
        self.config_path.write_text(text, encoding="utf-8")

    # --- who may call it --------------------------------------------------------------------------

    @property
    def authority_pem(self) -> bytes:
        """What callers trust."""
        return self._secrets().certificate_pem

    def issue(self, role: Role, caller_id: str, *, store: str = "") -> TillCertificate:
        """A certificate made with the authority's own key, past the enrolment: hundreds of tills in a second.

        `store` is for a till, and for a till alone.
        """
        authority = self._secrets()
        key_pem, request_pem = new_key_and_request()
        issued = issue_client_certificate(
            authority,
            request_pem,
            Caller(role, self.merchant, caller_id, store),
            now_ms=time.time_ns() // 1_000_000,
            validity_days=_CERTIFICATE_DAYS,
        )
        return TillCertificate(authority.certificate_pem, issued.pem, key_pem)

    # --- inside -----------------------------------------------------------------------------------

    def _secrets(self) -> Authority:
        if self._authority is None:
            self._authority = load_secrets(self.installation / "data" / "secrets").authority
        return self._authority

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise NodeFailed("The node is not running.")
        return self._process

    def _wait_until_ready(self, deadline_seconds: float) -> Addresses:
        process = self._running()
        give_up_at = time.monotonic() + deadline_seconds
        while time.monotonic() < give_up_at:
            if process.poll() is not None:
                raise NodeFailed(
                    f"The node ended with status {process.returncode} before it served.{self._log_tail()}"
                )
            if (ready := _read_ready(self._ready_path)) is not None:
                return ready
            time.sleep(_POLL_SECONDS)
        raise NodeFailed(f"The node did not serve within {deadline_seconds:.0f} s.{self._log_tail()}")

    def _end(self, kill_signal: signal.Signals | None) -> None:
        process, self._process, self._addresses = self._process, None, None
        if process is not None and kill_signal is not None:
            # Its session is its own, so the group is the node with its Ray and nobody else.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, kill_signal)
            process.wait()

    def _log_tail(self) -> str:
        with self.log_path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - _LOG_TAIL_BYTES))
            tail = log.read().decode("utf-8", "replace").strip()
        return f" The last of its log ({self.log_path}):\n{tail}" if tail else ""


def launch_node(
    directory: Path,
    *,
    merchant: str = "demo-shop",
    name: str = "Demo shop",
    time_zone: str = "Asia/Tehran",
    currency: str = "USD",
    currency_exponent: int = 2,
    shards: int = 0,
    settings: Mapping[str, Setting] | None = None,
) -> NodeUnderTest:
    """Make an installation with `vafa init`, all ports left to the system. It serves inside a `with` block.

    `shards` 0 is the node's own choice; `settings` are as in `NodeUnderTest.configure`. `NodeFailed` with the
    command's words when it refuses.
    """
    directory.mkdir(parents=True, exist_ok=True)
    node = NodeUnderTest(directory, merchant)
    arguments = {
        "--merchant": merchant,
        "--name": name,
        "--timezone": time_zone,
        "--currency": currency,
        "--exponent": str(currency_exponent),
        "--listen": "127.0.0.1:0",
        "--enrol-listen": "127.0.0.1:0",
        "--metrics": "127.0.0.1:0",
        "--shards": str(shards),
    }
    flat = [part for option in arguments.items() for part in option]
    made = node.vafa("init", str(node.installation), *flat)
    if made.returncode != 0:
        raise NodeFailed(f"`vafa init` ended with status {made.returncode}:\n{made.stdout}{made.stderr}")
    node.configure(settings or {})
    return node


def run_vafa(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the `vafa` command to its end, whatever its status; output and errors as text."""
    command = _vafa(*arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the node itself


def _vafa(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "node.cli.main", *arguments]


def _read_ready(path: Path) -> Addresses | None:
    try:
        ready = json.loads(path.read_bytes())
        return Addresses(
            ready["address"],
            ready["enrol_address"],
            ready["metrics_address"],
            int(ready["pid"]),
            ready.get("peer_address", ""),
        )
    except (FileNotFoundError, json.JSONDecodeError):
        # Not there yet, or only half of it.
        return None


def _with_setting(text: str, key: str, value: Setting) -> str:
    """The TOML text with one key of a section changed; its comments stay. `KeyError` where it is not."""
    section, _, name = key.partition(".")
    pattern = rf"(?ms)(^\[{re.escape(section)}\]\n(?:(?!^\[).)*?^{re.escape(name)} = )[^\n]*"
    # JSON writes strings, whole numbers and booleans as TOML does.
    changed, count = re.subn(
        pattern, lambda match: match[1] + json.dumps(value, ensure_ascii=False), text, count=1
    )
    if count == 0:
        raise KeyError(key)
    return changed
