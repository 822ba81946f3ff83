"""What a shard needs to know of the installation, as plain data that travels to wherever it runs."""

from __future__ import annotations

from msgspec import Struct

DAY_MS = 86_400_000


class ShardSettings(Struct, frozen=True):
    """The merchant's constants and the bounds of one shard. `partitions` is the installation's number."""

    merchant: str
    currency: str
    time_zone: str
    partitions: int
    retention_ms: int = 35 * DAY_MS
    lateness_ms: int = 30 * DAY_MS
    future_ms: int = 300_000
    cached_accounts: int = 20_000
    language: str = "en"
