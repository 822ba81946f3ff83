"""What a shard counts about itself, handed to the gateway's metrics as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class ShardFigures:
    """Counts since the shard started; seconds are sums."""

    commands: int = 0
    batches: int = 0
    batch_seconds: float = 0.0
    syncs: int = 0
    sync_seconds: float = 0.0
    slowest_sync_seconds: float = 0.0
    activated: int = 0
    passivated: int = 0
    quarantined: int = 0

    def batch(self, commands: int, seconds: float) -> None:
        """Counts a batch from its first byte to its answers."""
        self.commands += commands
        self.batches += 1
        self.batch_seconds += seconds

    def synced(self, seconds: float) -> None:
        """Counts a write with its sync."""
        self.syncs += 1
        self.sync_seconds += seconds
        self.slowest_sync_seconds = max(self.slowest_sync_seconds, seconds)

    def snapshot(self) -> dict[str, float]:
        """All figures by name."""
        return asdict(self)
