"""A PC/SC stack of our own: pcscd in the foreground with one virtual reader, no systemd, gone when we go."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from simulators.cards.vpcd import LOOPBACK

READER_NAME = "Vafa Virtual Reader"
START_SECONDS = 15.0
STOP_SECONDS = 5.0
_POLL_SECONDS = 0.02
_DRIVERS = (
    "/usr/lib/pcsc/drivers/serial/libifdvpcd.so",
    "/usr/lib64/pcsc/drivers/serial/libifdvpcd.so",
    "/usr/local/lib/pcsc/drivers/serial/libifdvpcd.so",
)
_CLIENTS_SOCKET = "/pcscd.comm"
_ACCEPTS = "00010000"
"""The flags of a socket that listens, in /proc/net/unix (__SO_ACCEPTCON)."""
_PACKAGES = "On Debian: apt-get install pcscd libpcsclite-dev vsmartcard-vpcd."


PORT_TRIES = 5
"""Pairs of ports that are tried: between the choice and pcscd's start another program may take one."""
_NO_PORT = ") Open Port 0x0 Failed ("
"""What pcscd writes when its driver could not open the reader: vpcd found its port taken."""


class StackAbsent(Exception):
    """The stack cannot be started here; the text says what is missing."""


class PortTaken(StackAbsent):
    """The virtual reader could not have its port when pcscd started."""


class PcscStack:
    """A private pcscd. A context manager; `port` is where the virtual reader waits for a card.

    There can be one pcscd on a machine (its socket has a fixed place), and it must be root's. The driver
    listens on all interfaces, which it offers no way to change: not for a machine that others reach.
    """

    def __init__(self) -> None:
        self.port = 0
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether our pcscd is up."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start pcscd and wait for its reader; `StackAbsent` when that cannot be.

        Ports that nobody named are chosen anew where another program took one of them meanwhile.
        """
        chosen_here = not self.port
        for _ in range(PORT_TRIES if chosen_here else 1):
            try:
                self._start()
            except PortTaken as taken:
                refused = taken
                self.port = 0 if chosen_here else self.port
            else:
                return
        raise StackAbsent(str(refused))

    def _start(self) -> None:
        daemon, driver = shutil.which("pcscd", path=_with_sbin()), _driver()
        if daemon is None or driver is None:
            raise StackAbsent(
                f"{'pcscd' if daemon is None else 'vsmartcard-vpcd'} is not installed. {_PACKAGES}"
            )
        self.port = self.port or _two_free_ports()
        self._directory = Path(tempfile.mkdtemp(prefix="vafa-pcscd-"))
        (self._directory / "vpcd").write_text(_configuration(driver, self.port), encoding="ascii")
        log = (self._directory / "log").open("wb")
        with log:
            self._process = subprocess.Popen(  # noqa: S603 - found by name on the path; the arguments are our own
                [daemon, "--foreground", "--config", str(self._directory)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        assert self._directory is not None
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                break
            if _listens(self.port) and _serves():
                return
            if _NO_PORT in (self._directory / "log").read_text("utf-8", "replace"):
                self.stop()
                raise PortTaken(f"vpcd could not open port {self.port}; another program may have taken it.")
            time.sleep(_POLL_SECONDS)
        said = (self._directory / "log").read_text("utf-8", "replace").strip().splitlines()
        self.stop()
        raise StackAbsent(
            "pcscd did not start; there can be one on a machine, and it wants root."
            f" Its last words: {said[-1] if said else 'none'}"
        )

    def stop(self) -> None:
        """Stop pcscd, at the latest after a few seconds by force; nothing is left behind."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None


def _configuration(driver: str, port: int) -> str:
    return (
        f'FRIENDLYNAME "{READER_NAME}"\n'
        f"DEVICENAME /dev/null:0x{port:X}\n"
        f"LIBPATH {driver}\n"
        f"CHANNELID 0x{port:X}\n"
    )


def _with_sbin() -> str:
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


def _driver() -> str | None:
    return next((path for path in _DRIVERS if Path(path).exists()), None)


def _two_free_ports() -> int:
    """The driver makes two slots, on this port and the next."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind((LOOPBACK, 0))
            port = int(first.getsockname()[1])
            try:
                second.bind((LOOPBACK, port + 1))
            except OSError:
                continue
            return port
    raise StackAbsent("No two free ports beside each other were found on this machine.")


def _listens(port: int) -> bool:
    """Whether somebody listens, found out without connecting: a connection would be a card put on."""
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        path = Path(table)
        lines = path.read_text("ascii").splitlines()[1:] if path.exists() else []
        if any(fields[1].endswith(wanted) and fields[3] == "0A" for fields in map(str.split, lines)):
            return True
    return False


def _serves() -> bool:
    """Whether pcscd takes clients by now: its reader is there some time before."""
    path = Path("/proc/net/unix")
    lines = path.read_text("utf-8", "replace").splitlines()[1:] if path.exists() else []
    listening = (fields for fields in map(str.split, lines) if fields[3] == _ACCEPTS)
    return any(fields[-1].endswith(_CLIENTS_SOCKET) for fields in listening)
