"""`vafa shards`: which store hosts which partitions, while the node is stopped.

Every change is a row of steps of which each is whole or not done, and is decided anew from what is found. So
a command that was killed is finished by running it again.
"""

from __future__ import annotations

import json as json_format
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from node import installation
from node.cli.connection import DEFAULT_CONFIG, ConfigOption, JsonOption, load, warn
from node.cli.settings import with_setting
from node.cli.stores import SHARD_PATTERN, Seen, check_partitions, require_stopped, see
from node.config import Config
from node.storage.files import replace_synced, sync_directory
from node.storage.keyspace import ControlKind, control_key
from node.storage.meta import (
    OpenStore,
    StoreIdentity,
    StoreKind,
    create_store,
    placement,
    register_store,
    registered_stores,
)
from node.storage.move import move_partition
from node.storage.store import Batch, StoreForeign

_STOP_FIRST = "`vafa status` shows the shards of a running node; to change them, stop it first."

app = typer.Typer(help="The stores that share the books, while the node is stopped.", no_args_is_help=True)


class ShardsRefused(Exception):
    """A change of the shards that cannot be made; the text says why and what to do."""


class Shard(NamedTuple):
    """A registered store. `number` is the shard's, which its place among `shard_pins` follows, too."""

    number: int
    seen: Seen
    size_bytes: int


@app.command("list")
def list_shards(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """List the shards with their stores and partitions, in the order of shard_pins."""
    loaded = load(config)
    with _control(loaded) as control:
        shards = _registered(loaded, control)
    if json:
        print(json_format.dumps([_as_json(one) for one in shards], indent=2))
        return
    for one in shards:
        partitions = ", ".join(map(str, sorted(one.seen.owned))) or "none"
        print(f"shard {one.number}: {one.seen.directory}, {one.size_bytes:,} bytes, partitions {partitions}")
        if one.seen.move is not None:
            print(f"  The move of partition {one.seen.move.partition} was interrupted: run it again.")


def _as_json(shard: Shard) -> dict[str, object]:
    move = shard.seen.move
    return {
        "shard": shard.number,
        "store_id": shard.seen.identity.store_id.hex(),
        "directory": str(shard.seen.directory),
        "partitions": sorted(shard.seen.owned),
        "size_bytes": shard.size_bytes,
        "interrupted_move": None if move is None else move.partition,
    }


@app.command()
def move(
    partition: Annotated[int, typer.Argument(min=0, max=63, help="The partition to move.")],
    shard: Annotated[
        int, typer.Argument(min=0, max=63, help="The shard that shall host it, as `list` says.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Move one partition to another shard's store."""
    loaded = load(config)
    with _control(loaded) as control:
        shards = _registered(loaded, control)
        if shard >= len(shards):
            raise typer.BadParameter(f"there are shards 0 to {len(shards) - 1}", param_hint="SHARD")
        _finish_moves(shards)
        shards = _registered(loaded, control)
        owner = _owners(loaded, shards).get(partition)
        if owner is None:
            raise typer.BadParameter(f"there are partitions 0 to {loaded.storage.partitions - 1}")
        if owner.number == shard:
            print(f"Partition {partition} is in shard {shard} already.")
            return
        _move(partition, owner.seen.directory, shards[shard].seen.directory)
    print(f"Partition {partition} is in shard {shard} now; it was in {owner.number}.")


@app.command("set-count")
def set_count(
    count: Annotated[int, typer.Argument(min=1, max=64, help="How many shards there shall be.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Change the number of shards and spread the partitions evenly over them.

    New shards come behind those there are, and the last ones go first, so that the others keep their numbers
    and pins. The directory of a store that goes is empty of books by then; it is renamed to emptied-…, never
    deleted. Run it again if it was interrupted.
    """
    loaded = load(config)
    if count > loaded.storage.partitions:
        raise ShardsRefused(
            f"{loaded.storage.partitions} partitions cannot be shared by {count} shards. Nothing was changed."
        )
    with _control(loaded) as control:
        _finish_moves(_registered(loaded, control))
        _add_stores(loaded, control, count)
        shards = _registered(loaded, control)
        _owners(loaded, shards)
        for partition, giver, taker in balancing([sorted(one.seen.owned) for one in shards], count):
            _move(partition, shards[giver].seen.directory, shards[taker].seen.directory)
        _take_away(loaded, control, count)
    _say_in_config(config, loaded, count)
    print(f"There are {count} shards now. `vafa shards list` shows them; start the node.")


@contextmanager
def _control(config: Config) -> Iterator[OpenStore]:
    """The control store, which keeps a node from starting for as long as it is open here."""
    require_stopped(config, _STOP_FIRST)
    control = installation.open_control(config)
    try:
        check_partitions(config, control.identity)
        yield control
    finally:
        control.close()


def _registered(config: Config, control: OpenStore) -> list[Shard]:
    shards = []
    for number, identity in enumerate(registered_stores(control.store)):
        directory = installation.shard_directory(config, identity.store_id)
        seen = see(directory)
        if (seen.identity.store_id, seen.identity.generation) != (
            identity.store_id,
            control.identity.generation,
        ):
            raise StoreForeign(
                f"{directory} is not the store that is registered for it.",
                "Nothing was changed.",
                "`vafa doctor` says more.",
            )
        files = (path for path in directory.rglob("*") if path.is_file())
        shards.append(Shard(number, seen, sum(path.stat().st_size for path in files)))
    return shards


def _owners(config: Config, shards: list[Shard]) -> dict[int, Shard]:
    by_id = {one.seen.identity.store_id: one for one in shards}
    owned = {store_id: one.seen.owned for store_id, one in by_id.items()}
    return {
        partition: by_id[store_id]
        for partition, store_id in placement(owned, config.storage.partitions).items()
    }


def _finish_moves(shards: list[Shard]) -> None:
    directories = {one.seen.identity.store_id: one.seen.directory for one in shards}
    for one in shards:
        if one.seen.move is not None:
            target = directories.get(one.seen.move.target_store_id)
            if target is None:
                raise ShardsRefused(
                    f"The move of partition {one.seen.move.partition} out of {one.seen.directory} was "
                    "interrupted, and the store that it was to go to is not here. Bring its directory back."
                )
            _move(one.seen.move.partition, one.seen.directory, target)


def _move(partition: int, source: Path, target: Path) -> None:
    warn(f"Moving partition {partition} from {source.name} to {target.name}.")
    move_partition(source, target, partition)


def balancing(hosted: list[list[int]], count: int) -> list[tuple[int, int, int]]:
    """The fewest moves (partition, giver, taker) after which the first `count` shards share evenly.

    `hosted` lists each shard's partitions; shards from `count` on give all of theirs away.
    """
    total = sum(map(len, hosted))
    # Those that have most keep the larger shares, so that least is moved.
    ranked = sorted(range(count), key=lambda number: -len(hosted[number]))
    share = {number: total // count + (rank < total % count) for rank, number in enumerate(ranked)}
    surplus = [
        (partition, number)
        for number, partitions in enumerate(hosted)
        for partition in partitions[share.get(number, 0) :]
    ]
    moves = []
    for taker in range(count):
        for _ in range(share[taker] - len(hosted[taker])):
            partition, giver = surplus.pop(0)
            moves.append((partition, giver, taker))
    return moves


def _add_stores(config: Config, control: OpenStore, count: int) -> None:
    known = registered_stores(control.store)
    while len(known) < count:
        identity = _unregistered_empty(config, control, known)
        if identity is None:
            identity = StoreIdentity(
                _next_store_id(config, known),
                StoreKind.SHARD,
                config.merchant.id,
                config.storage.partitions,
                control.identity.generation,
            )
            create_store(installation.shard_directory(config, identity.store_id), identity)
        batch = Batch()
        register_store(batch, identity)
        control.store.write(batch)
        control.store.sync()
        known = registered_stores(control.store)


def _unregistered_empty(
    config: Config, control: OpenStore, known: list[StoreIdentity]
) -> StoreIdentity | None:
    """A store that a killed run made and did not register yet."""
    for directory in sorted(config.storage.directory.glob(SHARD_PATTERN)):
        if any(directory == installation.shard_directory(config, one.store_id) for one in known):
            continue
        seen = see(directory)
        ours = (config.merchant.id, StoreKind.SHARD, control.identity.generation)
        if (seen.identity.merchant_id, seen.identity.kind, seen.identity.generation) != ours:
            continue
        store_id = seen.identity.store_id
        last = not known or store_id > known[-1].store_id
        if last and not seen.owned and directory == installation.shard_directory(config, store_id):
            return seen.identity
    return None


def _next_store_id(config: Config, known: list[StoreIdentity]) -> bytes:
    """A new id that sorts behind all others, since the order of ids is that of shards and their pins.

    It takes only a 64th of the ids that are left, so that there is room for as many stores as there can be.
    """
    last = int.from_bytes(known[-1].store_id, "big") if known else 0
    room = (2**128 - 1 - last) // 64
    while True:
        store_id = (last + 1 + int.from_bytes(os.urandom(16), "big") % room).to_bytes(16, "big")
        if not installation.shard_directory(config, store_id).exists():
            return store_id


def _take_away(config: Config, control: OpenStore, count: int) -> None:
    """Unregisters the stores from `count` on, which own nothing any more, and renames their directories."""
    for one in _registered(config, control)[count:]:
        assert not one.seen.owned, "everything was moved out of it"
        batch = Batch()
        batch.delete(control_key(ControlKind.STORE, one.seen.identity.store_id))
        control.store.write(batch)
        control.store.sync()
    known = registered_stores(control.store)
    while (identity := _unregistered_empty(config, control, known)) is not None:
        directory = installation.shard_directory(config, identity.store_id)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        aside = directory.with_name(f"emptied-{directory.name}-{stamp}")
        directory.rename(aside)
        sync_directory(aside.parent)
        warn(f"{aside.name} holds no books any more; delete it when you like.")


def _say_in_config(path: Path, config: Config, count: int) -> None:
    """Writes the number into vafa.toml where it names another; pins are for a person to place."""
    if config.ray.shard_pins and len(config.ray.shard_pins) != count:
        warn(f"Now mend [ray] shard_pins in {path}: {count} pins, in the order of `vafa shards list`.")
        if len(config.ray.shard_pins) > count:
            warn("The last ones are those to go.")
    elif config.storage.shards not in (0, count):
        text = with_setting(path.read_text(encoding="utf-8-sig"), "shards", count)
        replace_synced(path, text.encode())
