"""How the command line reaches a running node, and how it shows what comes back."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_status import rpc_status

from node import config as configuration
from node.config import Config, split_address
from node.proto.vafa.common.v1 import identifier_pb2

DEADLINE_SECONDS = 30.0

ConfigOption = Annotated[Path, typer.Option("--config", help="The installation's vafa.toml.")]
AddressOption = Annotated[
    str, typer.Option("--address", help="host:port of the node, where it is not the file's.")
]
CertificateOption = Annotated[
    Path | None,
    typer.Option("--certificate", help="A .crt with its .key beside it; else the installation's admin."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]

DEFAULT_CONFIG = Path("vafa.toml")


class CallFailed(Exception):
    """A call to the node was refused or did not get through; the text says what to do."""


def load(path: Path) -> Config:
    """The configuration, with what is wrong with it in words."""
    return configuration.load(path)


@contextmanager
def connected(path: Path, address: str, certificate: Path | None) -> Iterator[grpc.Channel]:
    """A channel to the node with the caller's certificate; refusals come out as CallFailed."""
    config = load(path)
    home = path.resolve().parent
    host, port = split_address(config.node.listen)
    target = address or f"{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - compared, not bound
    if config.node.plaintext:
        channel = grpc.insecure_channel(target)
    else:
        shown = certificate or home / "admin.crt"
        credentials = grpc.ssl_channel_credentials(
            (home / "ca.crt").read_bytes(), shown.with_suffix(".key").read_bytes(), shown.read_bytes()
        )
        channel = grpc.secure_channel(target, credentials)
    try:
        yield channel
    except grpc.RpcError as error:
        raise CallFailed(_explained(error, target)) from None
    finally:
        channel.close()


def _explained(error: grpc.RpcError, target: str) -> str:
    call: Any = error
    status = rpc_status.from_call(call)
    if status is None and call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return f"No node answers at {target}. Start it with `vafa run`, or name another --address."
    return f"{call.details()}" if call.details() else f"The call failed: {call.code().name}."


def show(message: Message, as_json: bool, plain: Callable[[], str]) -> None:
    """Prints an answer: as JSON, or as text for people."""
    if as_json:
        shown = MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        print(json.dumps(shown, ensure_ascii=False, indent=2))
    else:
        print(plain())


def new_request_id() -> str:
    """A request id for one run of a command."""
    return f"cli-{uuid.uuid4().hex}"


def now() -> Timestamp:
    """This moment as a message."""
    stamp = Timestamp()
    stamp.FromMilliseconds(time.time_ns() // 1_000_000)
    return stamp


def identifier(text: str) -> identifier_pb2.Identifier:
    """An identifier as it is typed: `phone:+98…`, `card:…`, `barcode:…`, `app:…`, or an account id."""
    kind, _, value = text.partition(":")
    kinds = {
        "phone": identifier_pb2.IDENTIFIER_KIND_PHONE,
        "card": identifier_pb2.IDENTIFIER_KIND_CARD,
        "barcode": identifier_pb2.IDENTIFIER_KIND_BARCODE,
        "app": identifier_pb2.IDENTIFIER_KIND_APP_TOKEN,
        "account": identifier_pb2.IDENTIFIER_KIND_ACCOUNT,
    }
    if not value and len(kind) == 32:
        return identifier_pb2.Identifier(kind=identifier_pb2.IDENTIFIER_KIND_ACCOUNT, value=kind)
    if kind not in kinds:
        raise typer.BadParameter("write phone:…, card:…, barcode:…, app:… or account:…")
    return identifier_pb2.Identifier(kind=kinds[kind], value=value)


def units(amount: int, exponent: int) -> str:
    """Minor units as people write them: digits in threes, with the decimals that the purse has."""
    if not exponent:
        return f"{amount:,}"
    whole, part = divmod(abs(amount), 10**exponent)
    return f"{'-' if amount < 0 else ''}{whole:,}.{part:0{exponent}d}"


def warn(text: str) -> None:
    """Something for people that is no part of the answer."""
    print(text, file=sys.stderr)
