"""`vafa init`: makes an installation."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from node import config as configuration
from node import installation
from node.cli.settings import with_setting
from node.config import ConfigError, NodeSection, default_toml

LOCAL_NAMES = NodeSection().host_names
"""What the command line at the node calls it; in every server certificate, beside the names given."""


def init(
    directory: Annotated[Path, typer.Argument(help="Where to make it; a new or empty directory.")],
    merchant: Annotated[str, typer.Option(help="Short id of the merchant: a-z, 0-9 and hyphen.")],
    name: Annotated[str, typer.Option(help="The name that members see, in any script.")] = "",
    country: Annotated[str, typer.Option(help="ISO 3166 code, for phone numbers.")] = "IR",
    language: Annotated[str, typer.Option(help="Language of receipt texts, such as fa.")] = "en",
    timezone: Annotated[str, typer.Option(help="IANA time zone in which days end.")] = "Asia/Tehran",
    currency: Annotated[str, typer.Option(help="ISO 4217 code.")] = "IRR",
    exponent: Annotated[int, typer.Option(help="Decimals of an amount.")] = 0,
    host: Annotated[
        list[str] | None, typer.Option(help="DNS name or IP by which tills reach this node; repeatable.")
    ] = None,
    listen: Annotated[str, typer.Option(help="IP:port for tills.")] = "",
    enrol_listen: Annotated[str, typer.Option(help="IP:port for enrolment.")] = "",
    metrics: Annotated[str, typer.Option(help="Loopback IP:port for metrics.")] = "",
    partitions: Annotated[int, typer.Option(help="Parts of the books; fixed for ever. 0: the default.")] = 0,
    shards: Annotated[int, typer.Option(help="Processes that share them. 0: one for two cores.")] = 0,
) -> None:
    """Make an installation: configuration, keys, certificates, empty books, a first programme."""
    toml = default_toml(
        merchant,
        name=name or merchant,
        country=country,
        language=language,
        time_zone=timezone,
        currency=currency,
        currency_exponent=exponent,
        host_names=tuple(dict.fromkeys((*(host or ()), *LOCAL_NAMES))),
    )
    settings: dict[str, str | int] = {
        "listen": listen,
        "enrol_listen": enrol_listen,
        "metrics_listen": metrics,
        "partitions": partitions,
        "shards": shards,
    }
    for key, value in settings.items():
        if value:
            toml = with_setting(toml, key, value)
    _check(toml)
    made = installation.create(directory, toml)
    typer.echo(f"Made {made.path}: merchant {made.config.merchant.id}, {made.config.shard_count()} shard(s).")
    typer.echo(f"Next: vafa run --config {made.path}")


def _check(toml: str) -> None:
    """Refuses values that the configuration refuses, before anything is made."""
    with tempfile.TemporaryDirectory(prefix="vafa-init-") as scratch:
        draft = Path(scratch) / installation.CONFIG_NAME
        draft.write_text(toml, encoding="utf-8")
        try:
            configuration.load(draft)
        except ConfigError as wrong:
            text = str(wrong).replace(str(draft), installation.CONFIG_NAME)
            raise ConfigError(f"{text} Nothing was made.") from None
