"""A PostgreSQL cluster of our own for the length of a bench: in a temporary directory, on a loopback port.

Durability is PostgreSQL's own default (fsync and synchronous_commit on). What is changed is in its favour: no
checkpoint falls into a run, and more memory than it would take by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from bench.report import BenchFailed

START_TIMEOUT_SECONDS = 60.0
_STOP_TIMEOUT_SECONDS = 30.0
_SUPERUSER = "vafa"
_PROGRAMS = ("initdb", "postgres", "pgbench")
_INSTALLED = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/*/bin",
)
_SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = '512MB'
max_wal_size = '8GB'
checkpoint_timeout = '1h'
"""


class PostgresFailed(BenchFailed):
    """The cluster could not be made or did not start. Says what PostgreSQL wrote."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster: the directory of its binaries, its port, and the process above all of its others."""

    programs: Path
    port: int
    pid: int
    password: str = field(repr=False)

    def environment(self) -> dict[str, str]:
        """The variables by which PostgreSQL's own programs, and asyncpg, find and enter it."""
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": _SUPERUSER,
            "PGPASSWORD": self.password,
            "PGDATABASE": "postgres",
        }

    async def connect(self) -> Any:
        """One asyncpg connection."""
        return await asyncpg.connect(
            host="127.0.0.1", port=self.port, user=_SUPERUSER, password=self.password, database="postgres"
        )


def find_programs() -> Path | None:
    """The directory with initdb, postgres and pgbench of one PostgreSQL, the newest first; None without."""
    found = [
        path
        for pattern in _INSTALLED
        for path in sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)
    ]
    # Debian's /usr/bin/pgbench is a script that wants a registered cluster; the real one lies by postgres.
    if on_path := shutil.which("postgres"):
        found.append(Path(on_path).resolve().parent)
    return next((path for path in found if all((path / name).exists() for name in _PROGRAMS)), None)


@contextlib.contextmanager
def running(programs: Path) -> Iterator[Cluster]:
    """A fresh cluster for the time of the block; everything of it is removed afterwards.

    PostgreSQL refuses to run as root, so there it runs as the user postgres, or else nobody. It asks for a
    password, for a superuser's session that anybody on this machine may open is a way into the account.
    """
    account = _unprivileged()
    identity = (
        {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    )
    directory = Path(tempfile.mkdtemp(prefix="vafa-peer-"))
    port, password = _free_port(), secrets.token_urlsafe(24)
    try:
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)
        process = _start(programs, directory, port, password, identity)
        cluster = Cluster(programs, port, process.pid, password)
        try:
            _wait_until_ready(cluster, process, directory / "log")
            yield cluster
        finally:
            process.send_signal(signal.SIGINT)  # "fast" shutdown: sessions are ended
            try:
                process.wait(_STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _start(
    programs: Path, directory: Path, port: int, password: str, identity: dict[str, Any]
) -> subprocess.Popen[bytes]:
    data, password_file = directory / "data", directory / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password, encoding="utf-8")
    if identity:
        os.chown(password_file, identity["user"], identity["group"])
    initdb = subprocess.run(
        [
            *(programs / "initdb", "-D", data, "-U", _SUPERUSER, "--pwfile", password_file),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
        ],
        capture_output=True,
        text=True,
        cwd=directory,
        check=False,
        **identity,
    )
    if initdb.returncode:
        raise PostgresFailed(f"initdb failed ({initdb.returncode}): {initdb.stderr.strip()[-1000:]}")
    password_file.unlink()
    with (data / "postgresql.conf").open("a", encoding="utf-8") as settings:
        settings.write(_SETTINGS.format(port=port))
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            [programs / "postgres", "-D", data],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=directory,
            start_new_session=True,  # Ctrl-C at the terminal is ours to handle, in order
            **identity,
        )


def _wait_until_ready(cluster: Cluster, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not asyncio.run(_answers(cluster)):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(encoding="utf-8", errors="replace")[-1000:]
            raise PostgresFailed(f"PostgreSQL did not start ({process.poll()}): {tail}")
        time.sleep(0.05)


async def _answers(cluster: Cluster) -> bool:
    try:
        connection = await cluster.connect()
    except (OSError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


def _unprivileged() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresFailed(
        "PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody."
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in path.as_posix().replace("-", "/").split("/") if part.isdigit())
