"""`vafa run`: serves until it is told to stop."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from node import config as configuration
from node.actors.environment import prepare_ray
from node.actors.ports import ShardNotStarted
from node.identity.keys import load_secrets


def run(
    config: Annotated[Path, typer.Option(help="The installation's vafa.toml.")] = Path("vafa.toml"),
    ready_file: Annotated[
        Path | None, typer.Option(help="Written once the node serves: where, as JSON.")
    ] = None,
) -> None:
    """Serve tills until SIGTERM or Ctrl-C, then drain and close the books in good order."""
    loaded = configuration.load(config)
    prepare_ray(load_secrets(loaded.secrets_directory).ray_token_path, cluster=bool(loaded.ray.address))
    import uvloop

    from node.actors.placement import start_ray, start_ray_shards, stop_ray
    from node.app import serve

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            start_ray(loaded.ray)
            runner.run(serve(loaded, start_ray_shards, ready_file))
    except ShardNotStarted as wrong:
        print(f"vafa: {wrong}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        stop_ray()
