"""Commands that the node gives itself: steps of work that spans partitions."""

from __future__ import annotations

from node.wire.commands import Command, Op
from node.wire.steps import STEP_SCOPE


def step(
    op: Op,
    partition: int,
    digest: bytes = b"",
    body: bytes = b"",
    account_id: bytes = b"",
    trace_id: str = "",
) -> Command:
    """A step on a partition, or with `account_id` on an account of it. Its digest is not checked."""
    return Command(op, partition, account_id, digest, STEP_SCOPE, "", "", trace_id, body)
