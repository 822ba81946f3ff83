"""`vafa init`: makes an installation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from node import installation
from node.config import default_toml


def init(
    directory: Annotated[Path, typer.Argument(help="Where to make it; a new or empty directory.")],
    merchant: Annotated[str, typer.Option(help="Short id of the merchant: a-z, 0-9 and hyphen.")],
    name: Annotated[str, typer.Option(help="The name that members see, in any script.")] = "",
    country: Annotated[str, typer.Option(help="ISO 3166 code, for phone numbers.")] = "IR",
    timezone: Annotated[str, typer.Option(help="IANA time zone in which days end.")] = "Asia/Tehran",
    currency: Annotated[str, typer.Option(help="ISO 4217 code.")] = "IRR",
    exponent: Annotated[int, typer.Option(help="Decimals of an amount.")] = 0,
    host: Annotated[list[str] | None, typer.Option(help="DNS name or IP of this node; repeatable.")] = None,
    listen: Annotated[str, typer.Option(help="IP:port for tills.")] = "",
    enrol_listen: Annotated[str, typer.Option(help="IP:port for enrolment.")] = "",
    metrics: Annotated[str, typer.Option(help="Loopback IP:port for metrics.")] = "",
    partitions: Annotated[int, typer.Option(help="Parts of the books; fixed for ever. 0: the default.")] = 0,
    shards: Annotated[int, typer.Option(help="Processes that share them. 0: one for each core.")] = 0,
) -> None:
    """Make an installation: configuration, keys, certificates, empty books, a first programme."""
    toml = default_toml(
        merchant,
        name=name or merchant,
        country=country,
        time_zone=timezone,
        currency=currency,
        currency_exponent=exponent,
        **({"host_names": tuple(host)} if host else {}),
    )
    settings: dict[str, str | int] = {}
    if listen:
        settings["listen"] = listen
    if enrol_listen:
        settings["enrol_listen"] = enrol_listen
    if metrics:
        settings["metrics_listen"] = metrics
    if partitions:
        settings["partitions"] = partitions
    if shards:
        settings["shards"] = shards
    for key, value in settings.items():
        toml = _with(toml, key, value)
    made = installation.create(directory, toml)
    typer.echo(f"Made {made.path}: merchant {made.config.merchant.id}, {made.config.shard_count()} shard(s).")
    typer.echo(f"Next: vafa run --config {made.path}")


def _with(toml: str, key: str, value: str | int) -> str:
    """The configuration's text with one key set; the comments around it stay."""
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {shown}", toml)
    assert count == 1, f"the template has one line for {key}"
    return text
