"""A disk as a power cut leaves it: what was synced is there, of the rest anything may be.

Replays what `recorder.c` recorded. Strict about names: a file exists after the cut only if its directory was
synced after the file got its name. What was written but not synced may be there, may not, or may be there in
some sectors and not in others.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

SECTOR_BYTES = 512
_RECORD = struct.Struct("<cQQI")


class Survival(StrEnum):
    """What becomes of what was not synced."""

    NOTHING = "nothing"
    EVERYTHING = "everything"
    TORN = "torn"


class Step(NamedTuple):
    """One recorded call."""

    op: str
    inode: int
    offset: int
    data: bytes


def read_record(path: Path) -> Iterator[Step]:
    """The recorded calls, in order."""
    data, at = path.read_bytes(), 0
    while at + _RECORD.size <= len(data):
        op, inode, offset, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        yield Step(op.decode(), inode, offset, data[at : at + length])
        at += length


@dataclass(eq=False)
class Node:
    """A file or directory: as it is, as it was at its last sync, and for a directory what changed since."""

    is_directory: bool = False
    current: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    names: dict[str, Node] = field(default_factory=dict)
    durable_names: dict[str, Node] = field(default_factory=dict)
    changes: list[tuple[str, Node | None, str | None]] = field(default_factory=list)

    def change(self, name: str, node: Node | None, replaces: str | None = None) -> None:
        """Gives `name` to `node` (None: takes it away); a rename also takes away the name it `replaces`."""
        self.changes.append((name, node, replaces))
        _apply(self.names, name, node, replaces)


def _apply(names: dict[str, Node], name: str, node: Node | None, replaces: str | None) -> None:
    if replaces is not None:
        names.pop(replaces, None)
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


class Disk:
    """The files under one directory, step by step. `acknowledged` is the last number in the file `ack`."""

    def __init__(self, root: Path, ack: str) -> None:
        self._root = root
        self._ack = ack
        self._top = Node(is_directory=True)
        self._inodes: dict[int, Node] = {}
        self.acknowledged = 0

    def apply(self, step: Step) -> None:
        """Takes the next recorded call into account."""
        if step.op in "COMXUL" or step.op == "R":
            self._apply_name(step)
        elif step.op == "W":
            node = self._inodes[step.inode]
            if len(node.current) < step.offset:
                node.current.extend(bytes(step.offset - len(node.current)))
            node.current[step.offset : step.offset + len(step.data)] = step.data
            if node is self._top.names.get(self._ack):
                self.acknowledged = int(node.current.split()[-1])
        elif step.op == "T":
            node = self._inodes[step.inode]
            del node.current[step.offset :]
            node.current.extend(bytes(step.offset - len(node.current)))
        elif step.op == "S":
            self._inodes[step.inode].durable = bytes(self._inodes[step.inode].current)
        elif step.op == "D":
            node = self._inodes[step.inode]
            node.durable_names = dict(node.names)
            node.changes.clear()

    def _apply_name(self, step: Step) -> None:
        path, _, other = step.data.decode().partition("\0")
        directory, name = self._parent(path)
        if step.op == "C":
            node = Node()
            directory.change(name, node)
            self._inodes[step.inode] = node
        elif step.op == "O":
            node = self._top if path == str(self._root) else directory.names[name]
            self._inodes[step.inode] = node
        elif step.op == "M":
            directory.change(name, Node(is_directory=True))
        elif step.op in "XU":
            directory.change(name, None)
        elif step.op == "L":
            target, new = self._parent(other)
            target.change(new, directory.names[name])
        else:
            target, new = self._parent(other)
            assert target is directory, "a rename stays in its directory"
            directory.change(new, directory.names[name], name)

    def _parent(self, path: str) -> tuple[Node, str]:
        node = self._top
        *directories, name = Path(path).relative_to(self._root).parts or ("",)
        for part in directories:
            node = node.names[part]
        return node, name

    def cut(self, target: Path, survival: Survival, chance: random.Random) -> None:
        """Writes to `target`, which must not exist, what the disk holds after a power cut at this moment."""
        self._write(self._top, target, survival, chance)

    def _write(self, node: Node, target: Path, survival: Survival, chance: random.Random) -> None:
        target.mkdir()
        names = dict(node.durable_names)
        if survival is Survival.EVERYTHING:
            names = dict(node.names)
        elif survival is Survival.TORN:
            for change in node.changes[: chance.randint(0, len(node.changes))]:
                _apply(names, *change)
        for name, child in names.items():
            if child.is_directory:
                self._write(child, target / name, survival, chance)
            elif name != self._ack:
                (target / name).write_bytes(_content(child, survival, chance))


def _content(node: Node, survival: Survival, chance: random.Random) -> bytes:
    if survival is Survival.NOTHING:
        return node.durable
    current = bytes(node.current)
    if survival is Survival.EVERYTHING or current == node.durable or chance.random() < 0.2:
        return current
    return _torn(node.durable, current, chance)


def _torn(old: bytes, new: bytes, chance: random.Random) -> bytes:
    """Sectors of `new` and of `old` mixed; where `old` has none, zeros; cut anywhere behind the old end."""
    length = chance.choice((len(old), len(new), chance.randint(min(len(old), len(new)), len(new))))
    old, new = old.ljust(length, b"\x00"), new.ljust(length, b"\x00")
    mixed = bytearray()
    keep = chance.random()
    for start in range(0, length, SECTOR_BYTES):
        source = new if chance.random() < keep else old
        mixed += source[start : min(start + SECTOR_BYTES, length)]
    return bytes(mixed)
