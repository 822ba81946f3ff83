"""What this installation is: one commented TOML file, read once at start, frozen ever after.

`TEMPLATE` is that file as `vafa init` writes it. The comment above each key says what is allowed, and a
`ConfigError` quotes it, so that what the owner reads in the file and in the error is one text. What the
merchant offers (earning rules, purses, rewards) is not here: that is a programme version.
"""

import ipaddress
import json
import os
import re
import tomllib
import zoneinfo
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import phonenumbers
from msgspec import Meta

from node.config_template import TEMPLATE, CardsSection

SLUG_PATTERN = r"[a-z0-9][a-z0-9-]{0,39}"
"""The form of every name that stands in a certificate: merchant, store, terminal, person of staff."""

# Ray appends "/session_<date>_<time>_<micros>_<pid>/sockets/plasma_store"; a socket's path ends at 107 bytes.
_MAX_RAY_TEMP_BYTES = 40
# RFC 1123 labels; a last one of digits alone is a mistyped IP address.
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)(?!(.*\.)?[0-9]+\Z)(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})*"
)


class ConfigError(Exception):
    """The installation's file cannot be used: says which file and key, what is allowed, and what to do."""


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class MerchantSection(_Section, frozen=True):
    """Who runs this node."""

    id: Annotated[str, Meta(pattern=rf"^{SLUG_PATTERN}\Z")]
    name: Annotated[str, Meta(min_length=1, max_length=120)]
    country: str
    time_zone: str
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
    currency_exponent: Annotated[int, Meta(ge=0, le=4)]
    language: Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{1,8}){0,4}\Z")] = "en"


class NodeSection(_Section, frozen=True):
    """Where the node listens. Every port but the loopback one for metrics is TLS."""

    listen: str = "0.0.0.0:7443"
    enrol_listen: str = "0.0.0.0:7444"
    metrics_listen: str = "127.0.0.1:9464"
    plaintext: bool = False
    host_names: Annotated[tuple[str, ...], Meta(min_length=1, max_length=32)] = ("localhost", "127.0.0.1")


class StorageSection(_Section, frozen=True):
    """Where the books live, and in how many parts."""

    directory: Path = Path("data")
    partitions: Annotated[int, Meta(ge=1, le=64)] = 16
    shards: Annotated[int, Meta(ge=0, le=64)] = 0


class RaySection(_Section, frozen=True):
    """Where the shards' processes run."""

    address: Annotated[str, Meta(pattern=r"^(auto|[^/\s]+:[0-9]{1,5})?\Z")] = ""
    shard_pins: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=80)], ...], Meta(max_length=64)
    ] = ()
    object_store_bytes: Annotated[int, Meta(ge=78_643_200, le=1 << 40)] = 100_000_000
    temp_directory: str = ""


class LimitsSection(_Section, frozen=True):
    """Bounds. The defaults suit a node of two cores and 4 GB."""

    queue_per_shard: Annotated[int, Meta(ge=1, le=1_000_000)] = 8192
    batch_commands: Annotated[int, Meta(ge=1, le=10_000)] = 1024
    cached_accounts_per_shard: Annotated[int, Meta(ge=1, le=10_000_000)] = 20_000
    request_retention_days: Annotated[int, Meta(ge=1, le=400)] = 35
    lateness_days: Annotated[int, Meta(ge=0, le=365)] = 30
    freshness_seconds: Annotated[int, Meta(ge=10, le=3600)] = 300


class CoalitionSection(_Section, frozen=True):
    """How partners' nodes reach this one, once `vafa join` has made it one of a coalition."""

    peer_listen: str = ""
    directory_file: str = ""
    directory_refresh_seconds: Annotated[int, Meta(ge=5, le=86_400)] = 300
    message_gateway: Literal["none", "console", "file"] = "none"
    message_file: str = "messages.jsonl"


class LogSection(_Section, frozen=True):
    """What the node writes to its standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class Config(_Section, frozen=True):
    """The whole file. From `load`, its paths are absolute."""

    merchant: MerchantSection
    node: NodeSection = NodeSection()
    storage: StorageSection = StorageSection()
    ray: RaySection = RaySection()
    limits: LimitsSection = LimitsSection()
    coalition: CoalitionSection = CoalitionSection()
    cards: CardsSection = CardsSection()
    log: LogSection = LogSection()

    @property
    def secrets_directory(self) -> Path:
        """Where the node's keys lie."""
        return self.storage.directory / "secrets"

    def shard_count(self, cores: int | None = None) -> int:
        """How many shards to run: as configured, else one a pin, else one for two cores of this machine."""
        if self.storage.shards:
            return self.storage.shards
        if self.ray.shard_pins:
            return len(self.ray.shard_pins)
        return max(1, min((cores or os.cpu_count() or 1) // 2, self.storage.partitions))


def load(path: Path) -> Config:
    """Read and check the file at `path`.

    Relative paths in it come back absolute, from the file's own directory. Anything unknown, of the wrong
    type, out of range or contradictory is a `ConfigError`; nothing is guessed and nothing is created.
    """
    try:
        # utf-8-sig: editors on Windows put a byte order mark first, which TOML does not allow.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file. `vafa init` writes one; or name another."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot be read as UTF-8 text ({error}). Mend or replace the file."
        ) from None
    return _parse(text, path)


def default_toml(
    merchant_id: str,
    *,
    name: str,
    country: str,
    language: str = "en",
    time_zone: str,
    currency: str,
    currency_exponent: int,
    host_names: Sequence[str] = ("localhost", "127.0.0.1"),
) -> str:
    """The commented file that `vafa init` puts down, every key with its default.

    What is passed in is checked as in `load`; a `ConfigError` says what is wrong with it.
    """
    text = TEMPLATE.format(
        id=_toml_string(merchant_id),
        name=_toml_string(name),
        country=_toml_string(country),
        language=_toml_string(language),
        time_zone=_toml_string(time_zone),
        currency=_toml_string(currency),
        currency_exponent=currency_exponent,
        host_names=f"[{', '.join(map(_toml_string, host_names))}]",
    )
    _parse(text, Path("vafa.toml"))
    return text


def split_address(address: str) -> tuple[str, int]:
    """`"127.0.0.1:7443"` or `"[::1]:7443"` as (IP address, port); `ValueError` for anything else, names too.

    Names are refused because what a name means can change under a rule that says "loopback only".
    """
    matched = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})", address)
    if matched is None or int(matched[3]) > 65535:
        raise ValueError("is not an IP address and a port")
    return str(ipaddress.ip_address(matched[1] or matched[2])), int(matched[3])


def _parse(text: str, path: Path) -> Config:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}. Mend that line and start again.") from None
    try:
        config = msgspec.convert(raw, Config, dec_hook=_path_from_text)
    except msgspec.ValidationError as error:
        raise _explain(path, str(error)) from None
    base = path.parent.resolve()
    config = msgspec.structs.replace(
        config,
        storage=msgspec.structs.replace(config.storage, directory=base / config.storage.directory),
        ray=msgspec.structs.replace(
            config.ray, temp_directory=config.ray.temp_directory and str(base / config.ray.temp_directory)
        ),
        coalition=msgspec.structs.replace(
            config.coalition,
            directory_file=config.coalition.directory_file and str(base / config.coalition.directory_file),
            message_file=str(base / config.coalition.message_file),
        ),
        cards=config.cards.beside(base),
    )
    for key, problem in _contradictions(config):
        raise _error(path, key, problem)
    return config


def _path_from_text(wanted: type, value: Any) -> Any:
    if wanted is not Path or not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("is not the path of a directory")
    return Path(value)


def _contradictions(config: Config) -> Iterator[tuple[str, str]]:
    """(key, what is wrong) of whatever types and ranges alone cannot say."""
    merchant, storage, limits = config.merchant, config.storage, config.limits
    # The zero width (non-)joiners are part of Persian and Arabic spelling; nothing else invisible is.
    visible = merchant.name.translate({0x200C: None, 0x200D: None})
    if not visible.strip() or not visible.isprintable():
        yield "merchant.name", "is blank or holds a control character"
    if merchant.country not in phonenumbers.SUPPORTED_REGIONS:
        yield "merchant.country", f"{merchant.country!r} is not a country with telephone numbers"
    try:
        zoneinfo.ZoneInfo(merchant.time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        yield "merchant.time_zone", f"{merchant.time_zone!r} is not a time zone"
    yield from _address_contradictions(config.node)
    yield from _peer_contradictions(config.coalition)
    if storage.shards > storage.partitions:
        yield "storage.shards", f"{storage.shards} shards cannot share {storage.partitions} partitions"
    pins = len(config.ray.shard_pins)
    if pins and (pins != config.shard_count() or pins > storage.partitions):
        yield "ray.shard_pins", f"{pins} pins for {storage.shards} shards and {storage.partitions} partitions"
    if len(os.fsencode(config.ray.temp_directory)) > _MAX_RAY_TEMP_BYTES:
        yield "ray.temp_directory", f"{config.ray.temp_directory} is too long for the sockets inside it"
    if limits.request_retention_days <= limits.lateness_days:
        # A late posting whose answer was already forgotten could be executed twice.
        yield (
            "limits.request_retention_days",
            f"{limits.request_retention_days} is not longer than lateness_days",
        )


def _address_contradictions(node: NodeSection) -> Iterator[tuple[str, str]]:
    for key, must_be_loopback in (
        ("listen", node.plaintext),
        ("enrol_listen", node.plaintext),
        ("metrics_listen", True),
    ):
        address = getattr(node, key)
        if key == "enrol_listen" and not address:
            continue
        try:
            host, _ = split_address(address)
        except ValueError:
            yield (
                f"node.{key}",
                f"{address!r} is not an IP address and a port, such as 127.0.0.1:7443 or [::1]:7443",
            )
            continue
        if must_be_loopback and not ipaddress.ip_address(host).is_loopback:
            why = "" if key == "metrics_listen" else " while plaintext = true"
            yield f"node.{key}", f"{address} is open to other machines{why}"
    for name in node.host_names:
        if not _HOST_NAME.fullmatch(name) and not _is_ip_address(name):
            yield "node.host_names", f"{name!r} is neither a DNS name nor an IP address"


def _peer_contradictions(coalition: CoalitionSection) -> Iterator[tuple[str, str]]:
    if "\0" in coalition.directory_file:
        yield "coalition.directory_file", "is not the path of a file"
    if coalition.peer_listen:
        try:
            split_address(coalition.peer_listen)
        except ValueError:
            yield (
                "coalition.peer_listen",
                f"{coalition.peer_listen!r} is not an IP address and a port, such as 0.0.0.0:7445",
            )


def _is_ip_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).compressed.find("%") < 0  # a scoped address fits no certificate
    except ValueError:
        return False


def _explain(path: Path, message: str) -> ConfigError:
    """Turn msgspec's words (`Expected int <= 64 - at $.storage.partitions`) into the owner's."""
    problem, _, where = message.partition(" - at ")
    key = re.sub(r"\[.*", "", where.strip("`").removeprefix("$").removeprefix("."))
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", problem):
        section = next((field.type for field in msgspec.structs.fields(Config) if field.name == key), Config)
        known = ", ".join(section.__struct_fields__)
        what = f"a key of [{key}]" if key else "a section"
        return ConfigError(
            f"{path}: {unknown[1]!r} is not {what}. Allowed: {known}. Remove or rename it and start again."
        )
    if missing := re.fullmatch(r"Object missing required field `(.*)`", problem):
        key = f"{key}.{missing[1]}" if key else missing[1]
        problem = "is missing"
    return _error(path, key, problem)


def _error(path: Path, key: str, problem: str) -> ConfigError:
    return ConfigError(f"{path}: {key}: {problem}. Allowed: {_allowed(key)} Change it and start again.")


def _allowed(key: str) -> str:
    """What the template's comment says of `section.key`."""
    section, _, name = key.partition(".")
    comment: list[str] = []
    for line in TEMPLATE.partition(f"[{section}]\n")[2].splitlines():
        if line.startswith("#"):
            comment.append(line.removeprefix("# "))
        elif line.startswith(f"{name} ="):
            return " ".join(comment)
        else:
            comment.clear()
    return f"a section [{section}]."


def _toml_string(text: str) -> str:
    # A JSON string is a TOML basic string, but for DEL, which must be escaped there too.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
