"""The machine: disk, memory, file limits, ports, Ray, time zones."""

from __future__ import annotations

import importlib
import shutil
import socket
import zoneinfo
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from node.cli.diagnosis.finding import Finding, ok, warn, wrong
from node.config import Config, split_address

GIB = 1024**3
FREE_WRONG_BYTES = 200 * 1024**2
FREE_WARN_BYTES = 2 * GIB
MEMORY_WARN_BYTES = GIB
"""A node with two shards takes about that much, Ray included."""
FILES_WARN = 4096
"""Each store may keep 512 table files open, and each till is a connection."""


TIME_ZONE_DAYS = (-400, 1_100)
"""From the latest that a till may post to the usual end of points, in days from today."""


def disk(config: Config) -> Iterator[Finding]:
    """Room for the books, and for a second copy of them: backups and restores take one."""
    directory = config.storage.directory
    while not directory.exists():
        directory = directory.parent
    usage = shutil.disk_usage(directory)
    books = sum(path.stat().st_size for path in _files(config.storage.directory))
    text = f"{_gib(usage.free)} of {_gib(usage.total)} free below {directory}; the books take {_gib(books)}."
    todo = "A full disk stops the node, and loses nothing. Free some room, or move the installation."
    if usage.free < FREE_WRONG_BYTES:
        yield wrong("disk", text, todo)
    elif usage.free < max(FREE_WARN_BYTES, books):
        yield warn("disk", text, todo)
    else:
        yield ok("disk", text)


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())


def memory(running: bool) -> Iterator[Finding]:
    """Room for the node's processes."""
    try:
        rows = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return
    figures = {name: int(rest.split()[0]) * 1024 for name, _, rest in (row.partition(":") for row in rows)}
    total, available = figures["MemTotal"], figures["MemAvailable"]
    text = f"{_gib(available)} of {_gib(total)} of memory available."
    if available < MEMORY_WARN_BYTES and not running:
        yield warn("memory", text, "A node takes about 1 GiB. Stop what else runs here, or add memory.")
    else:
        yield ok("memory", text)


def open_files(node_process: int) -> Iterator[Finding]:
    """How many files the node may open: its own limit while it runs, else that of this shell."""
    try:
        text = Path(f"/proc/{node_process or 'self'}/limits").read_text(encoding="ascii")
        row = next(row for row in text.splitlines() if row.startswith("Max open files"))
    except (OSError, StopIteration):
        return
    limit = row.split()[3]
    whose = "The node" if node_process else "A node started from this shell"
    said = f"{whose} may open {limit} files."
    if limit.isdigit() and int(limit) < FILES_WARN:
        todo = f"Set LimitNOFILE=65536 in the service unit, or `ulimit -n {FILES_WARN}` before `vafa run`."
        yield warn("open files", said, todo)
    else:
        yield ok("open files", said)


def ports(config: Config) -> Iterator[Finding]:
    """Whether a stopped node could listen."""
    for key in ("listen", "enrol_listen", "metrics_listen"):
        address = getattr(config.node, key)
        if not address:
            continue
        host, port = split_address(address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError as error:
            todo = f"`ss -ltnp` shows who listens there. Stop it, or change node.{key} in vafa.toml."
            yield wrong("ports", f"{key} {address} cannot be taken: {error.strerror}.", todo)
        else:
            yield ok("ports", f"{key} {address} is free." if port else f"{key} takes any free port.")


def ray() -> Iterator[Finding]:
    """Whether Ray can be loaded, by the very import that `vafa run` does."""
    try:
        importlib.import_module("node.actors.placement")
    except Exception as fault:  # a broken wheel fails in many ways
        yield wrong(
            "ray", f"Ray cannot be loaded ({type(fault).__name__}).", "Install the node anew: make install."
        )
    else:
        yield ok("ray", f"Ray {version('ray')} and RocksDB (rocksdict {version('rocksdict')}) load.")


def time_zone(config: Config, today: date) -> Iterator[Finding]:
    """Whether the zone in which days end is known, and whether old rules are in the way of newer ones.

    Python takes the system's rules where there are any (PEP 615). They only matter where they differ from
    those that the node brings, for a day on which something may still be posted or expire.
    """
    name = config.merchant.time_zone
    shipped: str = importlib.import_module("tzdata").IANA_VERSION
    try:
        used = zoneinfo.ZoneInfo.no_cache(name)
        with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as rules:
            ours = zoneinfo.ZoneInfo.from_file(rules, key=name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        yield wrong("time zone", f"{name} is not known.", "Mend merchant.time_zone in vafa.toml.")
        return
    noon = datetime.combine(today, clock_time(12))
    for day in range(*TIME_ZONE_DAYS):
        at = noon + timedelta(days=day)
        if at.replace(tzinfo=used).utcoffset() != at.replace(tzinfo=ours).utcoffset():
            yield warn(
                "time zone",
                f"On {at.date()} the system's rules for {name} differ from those of {shipped}, which the "
                "node brings.",
                "Update the system's tzdata, or set PYTHONTZPATH= (empty) in the service unit.",
            )
            return
    yield ok("time zone", f"{name}, as in the rules of {shipped}.")


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
