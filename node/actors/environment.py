"""What the processes of a node set before they begin: Ray's environment, and the garbage collector.

Ray reads most of its environment when it is imported, so `prepare_ray` comes before that.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

INLINE_BYTES = 8 * 1024 * 1024
"""Batches and answers up to this size travel inside Ray's call. Larger ones go through its object store, at a
copy more each way and work of Ray's own process. Ray carries 10 MB inside a call at the most
(`task_rpc_inlined_bytes_limit`).
"""


def prepare_ray(token_path: Path, *, cluster: bool) -> None:
    """Has every process of this node's Ray demand and show its token, and keep to itself.

    A private instance binds loopback alone. The processes of a `cluster` must reach each other, so there the
    firewall has to fence Ray's ports.
    """
    os.environ.pop("RAY_AUTH_TOKEN", None)  # it would outrank the path
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(token_path)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Despite its name this is what decides between loopback and all interfaces.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "1" if cluster else "0"
    # Ray would kill shards when other programs fill the machine's memory; the operating system decides that.
    os.environ["RAY_memory_monitor_refresh_ms"] = "0"  # noqa: SIM112 - the name that Ray reads
    os.environ["RAY_max_direct_call_object_size"] = str(INLINE_BYTES)  # noqa: SIM112 - the same


def calm_garbage_collector() -> None:
    """Looks for cycles rarely: almost nothing here forms one, and each look walks every cached account."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
