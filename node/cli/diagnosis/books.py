"""The stores of a stopped node, what was left behind beside them, and the backups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from node import installation
from node.cli.diagnosis.finding import Finding, ok, warn, wrong
from node.cli.restore import interrupted
from node.cli.stores import SHARD_PATTERN, Seen, check_partitions, opens_with, see
from node.config import Config, ConfigError
from node.identity.keys import NodeSecrets
from node.storage.backup import STAGING
from node.storage.manifest import MANIFEST, read_manifest
from node.storage.meta import StoreIdentity, placement
from node.storage.migrate import FORMAT_VERSION
from node.storage.store import StoreError

CLOCK_WRONG_MS = 60_000
"""By how much the clock may stand behind the journal before nothing is posted any more."""
BACKUP_WARN_HOURS = 48
MAX_SHOWN = 3
"""Of the leftovers of one kind."""

_RESTORE = "If its directory was moved, put it back. Otherwise restore the last backup: vafa restore."


def stores(config: Config, secrets: NodeSecrets | None, now_ms: int) -> Iterator[Finding]:
    """Whether every store is there, whole, of this installation, and hosts what it should."""
    place = installation.control_directory(config)
    try:
        control = see(place)
    except StoreError as problem:
        yield wrong("control store", str(problem), "" if place.exists() else _RESTORE)
        return
    yield from _sound(config, control, "control store")
    known = control.registered
    shards: list[Seen] = []
    for number, identity in enumerate(known):
        directory = installation.shard_directory(config, identity.store_id)
        try:
            seen = see(directory)
        except StoreError as problem:
            if config.ray.shard_pins and not directory.exists():
                yield warn(
                    "stores", f"Shard {number} is not on this machine.", "Run the doctor there as well."
                )
            else:
                yield wrong("stores", f"Shard {number}: {problem}", "" if directory.exists() else _RESTORE)
            continue
        shards.append(seen)
        yield from _sound(config, seen, f"shard {number}", control.identity, identity.store_id)
        yield from _moving(seen, known)
    if len(shards) == len(known):
        yield from _placed(config, shards)
    yield from _settings(config, len(known))
    yield from _unregistered(config, known)
    if secrets is not None and not opens_with(secrets.master_key, shards):
        yield wrong(
            "secrets",
            f"{config.secrets_directory / 'master.key'} is not the key under which the persons are sealed.",
            "Put back the secrets that belong to these stores.",
        )
    yield _clock(max((one.clock_ms for one in shards), default=0), now_ms)


def _sound(
    config: Config,
    seen: Seen,
    check: str,
    control: StoreIdentity | None = None,
    store_id: bytes | None = None,
) -> Iterator[Finding]:
    """Whether a store that opens is the one expected. Without `control` it is the control store itself."""
    found = seen.identity
    if found.merchant_id != config.merchant.id:
        yield wrong(check, f"{seen.directory} belongs to merchant {found.merchant_id}.", _RESTORE)
    elif control is None:
        try:
            check_partitions(config, found)
        except ConfigError as mismatch:
            yield wrong(check, str(mismatch))
        else:
            yield ok(check, f"Whole, generation {found.generation}.")
    elif found.store_id != store_id:
        yield wrong(check, f"{seen.directory} holds another store than its name says.", _RESTORE)
    elif found.generation != control.generation:
        yield wrong(
            check,
            f"{seen.directory} is of generation {found.generation}, and the control store of "
            f"{control.generation}: they are from before and after a restore.",
            "Bring back the directories that belong together; all stores are restored together.",
        )
    else:
        yield ok(check, f"Whole, hosts {len(seen.owned)} partitions; its log reaches its head.")
    if seen.note is not None:
        yield warn(check, seen.note, "This is what a power cut leaves. If there was none, check the disk.")
    if seen.format < FORMAT_VERSION:
        yield warn(
            check, f"It is in format {seen.format}.", "The next start brings it up to date; back up first."
        )


def _moving(seen: Seen, known: Sequence[StoreIdentity]) -> Iterator[Finding]:
    if seen.move is None:
        return
    ids = [one.store_id for one in known]
    target = ids.index(seen.move.target_store_id) if seen.move.target_store_id in ids else "…"
    yield wrong(
        "placement",
        f"The move of partition {seen.move.partition} out of {seen.directory} was interrupted; it is whole.",
        f"Finish it: vafa shards move {seen.move.partition} {target}",
    )


def _placed(config: Config, shards: Sequence[Seen]) -> Iterator[Finding]:
    try:
        placement({one.identity.store_id: one.owned for one in shards}, config.storage.partitions)
    except StoreError as problem:
        yield wrong("placement", str(problem))
    else:
        yield ok(
            "placement", f"Each of {config.storage.partitions} partitions is in one of {len(shards)} shards."
        )


def _settings(config: Config, count: int) -> Iterator[Finding]:
    pins = len(config.ray.shard_pins)
    if pins and pins != count:
        yield wrong(
            "configuration",
            f"There are {count} shards, and shard_pins names {pins} machines.",
            "Mend shard_pins in vafa.toml: one for each shard, in the order of `vafa shards list`.",
        )
    elif config.storage.shards not in (0, count):
        yield warn(
            "configuration",
            f"vafa.toml says {config.storage.shards} shards, and there are {count}: it is only read by init.",
            f"To change them: vafa shards set-count {config.storage.shards}. Else write {count} there.",
        )


def _unregistered(config: Config, known: Sequence[StoreIdentity]) -> Iterator[Finding]:
    ours = {installation.shard_directory(config, one.store_id) for one in known}
    for directory in sorted(config.storage.directory.glob(SHARD_PATTERN)):
        if directory not in ours:
            yield warn(
                "leftovers",
                f"{directory} is no store of this installation; it is never opened.",
                "`vafa shards set-count` uses or renames one that it left behind. Else move it away.",
            )


def _clock(latest_ms: int, now_ms: int) -> Finding:
    ahead_ms = latest_ms - now_ms
    if ahead_ms > CLOCK_WRONG_MS:
        return wrong(
            "clock",
            f"This machine's clock stands {ahead_ms // 1000} s behind the last posting. Nothing is posted "
            "until it has caught up.",
            "Set the clock, and keep it right by NTP.",
        )
    return ok("clock", "The clock is not behind the journal.")


def leftovers(config: Config, running: bool) -> Iterator[Finding]:
    """What interrupted work left behind. None of it is in the way."""
    data = config.storage.directory.resolve()
    home, kept = data.parent, installation.backup_directory(config)
    restored = [] if interrupted(data) else sorted(home.glob(f"{data.name}.restored*"))
    found = {
        "An interrupted restore": restored,
        "What a restore replaced": sorted(home.glob(f"{data.name}.before-*")),
        "A store that was never finished": sorted(data.glob("*.creating")),
        "A store without books any more": sorted(data.glob("emptied-*")),
        "Secrets that were never finished": sorted(data.glob(".secrets.*")),
    }
    if not running:  # else it may be under way
        found["An interrupted backup or check"] = sorted(data.glob(f"*/{STAGING}"))
        if kept.is_dir():
            found["A backup that was never finished"] = [
                path for path in sorted(kept.iterdir()) if path.is_dir() and not (path / MANIFEST).exists()
            ]
    for what, paths in found.items():
        if paths:
            shown = ", ".join(map(str, paths[:MAX_SHOWN])) + ("…" if len(paths) > MAX_SHOWN else "")
            yield warn(
                "leftovers", f"{what}: {shown}", "Delete it when you are sure that you need none of it."
            )
    if not any(found.values()):
        yield ok("leftovers", "Nothing was left behind by interrupted work.")


def backups(config: Config, now_ms: int) -> Iterator[Finding]:
    """How old the latest backup is. Whether it is elsewhere, too, only you know."""
    directory = installation.backup_directory(config)
    made: list[tuple[int, Path]] = []
    for path in directory.iterdir() if directory.is_dir() else ():
        if (path / MANIFEST).exists():
            try:
                made.append((read_manifest(path).created_ms, path))
            except StoreError as damaged:
                yield warn("backups", str(damaged), "Delete it, or bring back another copy of it.")
    if not made:
        yield warn("backups", f"There is no backup in {directory}.", "Run `vafa backup` daily, from a timer.")
        return
    created_ms, path = max(made)
    hours = (now_ms - created_ms) // 3_600_000
    text = f"The latest of {len(made)}, {path.name}, is {hours} hours old."
    if hours > BACKUP_WARN_HOURS:
        yield warn("backups", text, "Run `vafa backup` daily, from a timer, and copy it to another machine.")
    else:
        yield ok("backups", text)
