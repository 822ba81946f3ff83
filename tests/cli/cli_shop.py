"""The command line's tests' own shop: an installation, commands on it, and a node that serves it."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from node import config as configuration
from node.actors.ports import start_local_shards
from node.app import Addresses, Node
from node.cli.main import main

START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command answered."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """Its answer, read as a machine would."""
        assert self.status == 0, self.err
        return json.loads(self.out)


def run_vafa(*arguments: object, answer: str = "") -> Ran:
    """Runs the `vafa` command in this process, with `answer` typed at its questions."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        patch.object(sys, "argv", ["vafa", *map(str, arguments)]),
        patch.object(sys, "stdin", io.StringIO(answer)),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    assert "Traceback" not in out.getvalue() + err.getvalue()
    return Ran(status, out.getvalue(), err.getvalue())


class Shop:
    """An installation whose ports are left to the system, and the commands on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.config_path = home / "vafa.toml"
        self.data = home / "data"
        self._addresses: Addresses | None = None

    @property
    def served(self) -> Addresses:
        """Where the node serves."""
        assert self._addresses is not None, "the node does not serve"
        return self._addresses

    def vafa(self, *arguments: object, answer: str = "", address: str = "") -> Ran:
        """A command that calls the node, which must be serving unless an `address` is given."""
        return self.local(*arguments, "--address", address or self.served.address, answer=answer)

    def local(self, *arguments: object, answer: str = "") -> Ran:
        """A command on the installation's files."""
        return run_vafa(*arguments, "--config", self.config_path, answer=answer)

    def set(self, key: str, value: str) -> None:
        """Changes a line of vafa.toml; `value` is TOML."""
        lines = self.config_path.read_text("utf-8").splitlines()
        changed = [f"{key} = {value}" if line.startswith(f"{key} = ") else line for line in lines]
        assert changed != lines
        self.config_path.write_text("\n".join(changed) + "\n", "utf-8")

    def shards(self) -> list[Path]:
        """The directories of the shards' stores."""
        return sorted(self.data.glob("shard-*"))

    @contextmanager
    def serving(self) -> Iterator[None]:
        """The node serves inside the block, shards on threads of this process."""
        loop, node = asyncio.new_event_loop(), Node(configuration.load(self.config_path), start_local_shards)
        thread = threading.Thread(target=loop.run_forever, name="node")
        thread.start()
        try:
            starting = asyncio.run_coroutine_threadsafe(node.start(), loop)
            self._addresses = starting.result(START_SECONDS)
            yield
        finally:
            self._addresses = None
            asyncio.run_coroutine_threadsafe(node.stop(), loop).result(START_SECONDS)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
