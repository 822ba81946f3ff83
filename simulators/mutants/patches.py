"""Taking a guard out of a node for a while, and putting it back."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Self


class Patches:
    """Changes that are undone in the end, the last first. A context: undone where it ends."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._undo:
            self._undo.pop()()

    def setattr(self, target: object, name: str, value: object) -> None:
        """Another attribute in the place of one that is there."""
        before = vars(target)[name] if name in vars(target) else getattr(target, name)
        inherited = name not in vars(target)
        setattr(target, name, value)
        self._undo.append(lambda: delattr(target, name) if inherited else setattr(target, name, before))

    def setitem(self, target: MutableMapping[Any, Any], key: object, value: object) -> None:
        """Another item in the place of one that is there."""
        before = target[key]
        target[key] = value
        self._undo.append(lambda: target.__setitem__(key, before))
