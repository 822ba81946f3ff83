"""The verification keys for chip cards while the node runs: a store that changes is read again.

So a rotation needs no restart: `vafa cards node-keys` writes, and within seconds every shard verifies with
what the store holds now. A store that cannot be opened changes nothing: the keys in use stay, and the log
says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from node.actors.card_spec import SPEC, cards_spec
from node.config import ConfigError
from node.config_template import CardsSection

if TYPE_CHECKING:
    from node.actors.ports import ShardHandle

LOOK_SECONDS = 5.0
"""How often a key store's file is looked at: only whether it is another one, which costs nothing."""
ROUNDS_WITHOUT_FILE = 120
"""A hardware module does not say that it has new keys, so it is asked, once in so many rounds."""

log = structlog.get_logger()


class CardKeys:
    """The keys of one node. `spec` is what a shard that starts is told; `ConfigError` where there is none."""

    def __init__(self, merchant: str, section: CardsSection) -> None:
        self._section = section
        self._read: Callable[[], bytes] = lambda: cards_spec(merchant, section)
        self._seen = self._stamp()
        self.spec = self._read()
        self._rounds = 0

    async def look(self, shards: Sequence[ShardHandle]) -> bool:
        """Reads the store again where it has changed, and tells the shards; says whether it had new keys."""
        if not self._section.key_store or not self._is_another():
            return False
        try:
            spec = await asyncio.to_thread(self._read)
        except ConfigError as unusable:
            log.error("card_keys_unusable", problem=str(unusable))
            return False
        if spec == self.spec:
            return False
        self.spec = spec
        await asyncio.gather(*(shard.take_cards(spec) for shard in shards))
        log.info("card_keys_taken", versions=[version for version, _ in SPEC.decode(spec).keys])
        return True

    def _is_another(self) -> bool:
        stamp = self._stamp()
        self._rounds += 1
        if stamp is None:
            return self._rounds % ROUNDS_WITHOUT_FILE == 0
        if stamp == self._seen:
            return False
        self._seen = stamp
        return True

    def _stamp(self) -> tuple[tuple[int, int, int], ...] | None:
        """What tells one state of the files from another; None where the store is no file, or is away."""
        files = (self._section.key_store, self._section.passphrase_file)
        try:
            stats = [Path(file).stat() for file in files if file]
        except OSError:
            return None
        return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats)
