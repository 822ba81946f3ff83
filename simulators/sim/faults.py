"""What goes wrong in a simulation, and when: drawn from the seed, so that the seed alone brings it back."""

from __future__ import annotations

import random
from enum import StrEnum

from msgspec import Struct


class FaultKind(StrEnum):
    """What can go wrong. The names are those of the reports."""

    KILL_SHARD = "shard killed"
    KILL_NODE = "node killed"
    POWER_CUT = "power cut"
    KILL_AT_STEP = "shard killed at a durable step"
    POWER_AT_STEP = "power cut at a durable step"
    KILL_THEN_POWER = "shard killed at a durable step, and the power cut before its next"
    DISK_FAILS = "disk failed"
    STOPPED = "node stood still"
    CLOCK = "clock skewed"
    PARTITION = "merchants cut off from each other"
    ONE_WAY = "merchants cut off one way"
    ISOLATED = "merchant cut off from all others"
    STORM = "network lossy, repeating and slow"
    WITHHELD = "messages withheld by a relay"
    BACKUP = "backup made"
    ROLLBACK = "disk rolled back to a backup"
    TILL_CUT = "till cut off"
    TILL_LOSSY = "till's line lossy"


WEIGHTS: dict[FaultKind, int] = {
    FaultKind.KILL_SHARD: 2,
    FaultKind.KILL_NODE: 2,
    FaultKind.POWER_CUT: 2,
    FaultKind.KILL_AT_STEP: 4,
    FaultKind.POWER_AT_STEP: 6,
    FaultKind.KILL_THEN_POWER: 3,
    FaultKind.DISK_FAILS: 2,
    FaultKind.STOPPED: 2,
    FaultKind.CLOCK: 2,
    FaultKind.TILL_CUT: 2,
    FaultKind.TILL_LOSSY: 2,
}


BETWEEN_MERCHANTS: dict[FaultKind, int] = {
    **WEIGHTS,
    FaultKind.PARTITION: 3,
    FaultKind.ONE_WAY: 3,
    FaultKind.ISOLATED: 3,
    FaultKind.STORM: 4,
}


WITH_ROLLBACKS: dict[FaultKind, int] = {
    **BETWEEN_MERCHANTS,
    FaultKind.WITHHELD: 6,
    FaultKind.BACKUP: 14,
    FaultKind.ROLLBACK: 14,
}


class Fault(Struct, frozen=True):
    """One fault: when, what, how long it lasts (seconds), and a number for what is chosen by it."""

    at_seconds: float
    kind: FaultKind
    seconds: float
    draw: int


def plan_faults(
    seed: int,
    until_seconds: float,
    weights: dict[FaultKind, int],
    count: tuple[int, int],
    longest_seconds: float = 30.0,
) -> list[Fault]:
    """The faults of a seed, in their order; all of them are over by `until_seconds` + `longest_seconds`."""
    chance = random.Random(f"{seed}/faults")
    kinds, shares = list(weights), list(weights.values())
    faults = [
        Fault(
            chance.uniform(0.0, until_seconds),
            chance.choices(kinds, shares)[0],
            chance.uniform(0.5, longest_seconds),
            chance.randrange(1 << 30),
        )
        for _ in range(chance.randint(*count))
    ]
    return sorted(faults, key=lambda fault: fault.at_seconds)
