"""`vafa run`: serves until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import socket
from pathlib import Path
from typing import Annotated

import typer

from node import installation
from node.actors.environment import prepare_ray
from node.actors.host import LOCK_SECONDS
from node.cli.connection import DEFAULT_CONFIG, ConfigOption, load, warn
from node.cli.restore import interrupted
from node.cli.stores import check_partitions, holders, in_use_text, see, store_directories
from node.config import Config
from node.identity.keys import load_secrets

CLUSTER_SECONDS = 5.0

_TAKEN = (
    "The address {address} is already in use, or not this machine's. Stop what listens there (ss -ltnp shows "
    "it), or change [node] in vafa.toml."
)


class NotServing(Exception):
    """What keeps a node from serving that can be mended; the text says what to do."""


def run(
    config: ConfigOption = DEFAULT_CONFIG,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written once the node serves: where, as JSON.")
    ] = None,
) -> None:
    """Serve tills until SIGTERM or Ctrl-C, then drain and close the books in good order."""
    loaded = load(config)
    _check(loaded)
    prepare_ray(load_secrets(loaded.secrets_directory).ray_token_path, cluster=bool(loaded.ray.address))
    import uvloop

    from node.actors.placement import start_ray, start_ray_shards, stop_ray
    from node.app import serve

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            start_ray(loaded.ray)
            runner.run(serve(loaded, start_ray_shards, ready_file))
    except OSError as wrong:
        if wrong.errno != errno.EADDRINUSE:
            raise
        # The one port that is not grpc's.
        raise NotServing(_TAKEN.format(address=loaded.node.metrics_listen)) from None
    except RuntimeError as wrong:
        # How grpc says that a port is taken, and the node that its stores do not fit together.
        if str(wrong).startswith("Failed to bind"):
            address = str(wrong).removeprefix("Failed to bind to address ").split(";")[0]
            raise NotServing(_TAKEN.format(address=address)) from None
        if "run `vafa doctor`" in str(wrong):
            raise NotServing(f"{wrong}.") from None
        raise
    finally:
        stop_ray()


def _check(config: Config) -> None:
    """What is worth saying before Ray starts, which takes seconds."""
    data = config.storage.directory
    if interrupted(data.resolve()):
        raise NotServing(
            f"A restore was interrupted: {data} is not in its place yet. Run the same `vafa restore` again."
        )
    if not installation.control_directory(config).exists():
        raise NotServing(
            f"{data} holds no control store. Check that its disk is mounted and that storage.directory is "
            "right. A new installation is made by `vafa init`, a lost one brought back by `vafa restore`."
        )
    _check_cluster(config.ray.address)
    held = holders(store_directories(config))
    if held:
        warn(f"vafa: {in_use_text(held)} Waiting up to {LOCK_SECONDS:.0f} s for it to let go.")
        return
    control = see(installation.control_directory(config))
    check_partitions(config, control.identity)
    pins, shards = len(config.ray.shard_pins), len(control.registered)
    if pins not in (0, shards):
        raise NotServing(
            f"There are {shards} shards, and shard_pins in vafa.toml names {pins} machines. Write one pin "
            "for each shard, in the order of `vafa shards list`."
        )


def _check_cluster(address: str) -> None:
    """Ray itself tries for minutes to reach a cluster that is not there."""
    if address in ("", "auto"):
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CLUSTER_SECONDS).close()
    except OSError as error:
        raise NotServing(
            f"No Ray answers at {address} ({error.strerror or 'no answer'}), which ray.address in vafa.toml "
            "names. Start the cluster first."
        ) from None
