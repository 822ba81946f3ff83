"""The programme versions that a shard judges by: immutable, effective-dated, compiled when first used."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping

from msgspec import Struct

from node.ledger.purses import PurseDefinition
from node.programme.compile import compile_programme
from node.programme.evaluate import CompiledProgramme
from node.programme.model import Programme


class Edition(Struct, frozen=True):
    """A compiled version with its purses by code, in the order of spending."""

    compiled: CompiledProgramme
    purses: Mapping[str, PurseDefinition]
    version: int


class Programmes:
    """A snapshot of all versions, in the order in which they take effect."""

    def __init__(self, versions: Iterable[Programme], *, tz: str, currency: str) -> None:
        self._versions = sorted(versions, key=lambda version: (version.effective_ms, version.version))
        self._starts = [version.effective_ms for version in self._versions]
        self._editions: dict[int, Edition] = {}
        self._tz, self._currency = tz, currency
        if not self._versions:
            raise ValueError("a node judges by at least one programme version; publish one")

    def at(self, at_ms: int) -> Edition:
        """The version in force at `at_ms`; the first one for whatever occurred before it."""
        version = self._versions[max(0, bisect_right(self._starts, at_ms) - 1)]
        edition = self._editions.get(version.version)
        return edition or self._edition(version)

    def version(self, number: int, at_ms: int) -> Edition:
        """The version of that number, which judged an entry; the one in force at `at_ms` where it is gone."""
        edition = self._editions.get(number)
        if edition is None:
            found = next((one for one in self._versions if one.version == number), None)
            edition = self.at(at_ms) if found is None else self._edition(found)
        return edition

    def _edition(self, version: Programme) -> Edition:
        compiled = compile_programme(version, tz=self._tz, currency=self._currency)
        edition = Edition(compiled, {purse.code: purse for purse in compiled.purses}, version.version)
        self._editions[version.version] = edition
        return edition
