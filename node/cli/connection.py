"""How the command line reaches a running node, and how it shows what comes back."""

from __future__ import annotations

import json
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from cryptography import x509
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from node import config as configuration
from node.config import Config, split_address
from node.identity.caller import CallerRefused, caller_from_certificate, certificate_refusal
from node.identity.keys import read_secret
from node.proto.vafa.common.v1 import identifier_pb2

DEADLINE_SECONDS = 30.0

ConfigOption = Annotated[
    Path, typer.Option("--config", envvar="VAFA_CONFIG", help="The installation's vafa.toml.")
]
AddressOption = Annotated[
    str, typer.Option("--address", help="host:port of the node, where it is not the file's.")
]
CertificateOption = Annotated[
    Path | None,
    typer.Option("--certificate", help="A .crt with its .key beside it; else the installation's admin."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
RequestIdOption = Annotated[
    str,
    typer.Option(
        "--request-id",
        help="For a second run of the same command whose answer was lost: the id that the first run printed. "
        "One id takes effect once. A script may choose its own: a name of its own, a hyphen, and the epoch "
        "time in milliseconds (import-7-1795400000000).",
    ),
]

DEFAULT_CONFIG = Path("vafa.toml")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,50}-([0-9]{13})")
_UNSETTLED = frozenset({"RETRY", "ASK"})
"""The actions of refusals after which the same request may still be, or become, done."""


class CallFailed(Exception):
    """A call to the node was refused or did not get through; the text says what to do."""


def load(path: Path) -> Config:
    """The configuration, with what is wrong with it in words."""
    return configuration.load(path)


def target_of(config: Config, address: str = "") -> str:
    """Where the node is called: `address`, or where it listens, as seen from its own machine."""
    if address:
        return address
    host, port = split_address(config.node.listen)
    if not port:
        raise CallFailed(
            "vafa.toml leaves the node's port to the system (port 0). Name --address: `vafa run` logs it."
        )
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def connected(
    path: Path, address: str, certificate: Path | None, request_id: str = ""
) -> Iterator[grpc.Channel]:
    """A channel to the node with the caller's certificate; refusals come out as CallFailed.

    With the `request_id` of a change, the text of a failure that leaves its outcome open says how to run the
    command again without doing it twice.
    """
    config = load(path)
    target = target_of(config, address)
    home = path.resolve().parent
    if config.node.plaintext:
        channel = grpc.insecure_channel(target)
    else:
        channel = grpc.secure_channel(target, _credentials(home, certificate))
    try:
        yield channel
    except grpc.RpcError as error:
        problem = "" if config.node.plaintext else _certificate_problem(home, certificate, config.merchant.id)
        raise CallFailed(explained(error, target, request_id, problem)) from None
    except KeyboardInterrupt:
        if not request_id:
            raise
        raise CallFailed("Interrupted." + _again(request_id)) from None
    finally:
        channel.close()


def _credentials(home: Path, certificate: Path | None) -> grpc.ChannelCredentials:
    shown = certificate or home / "admin.crt"
    return grpc.ssl_channel_credentials(
        _public(home / "ca.crt"), read_secret(shown.with_suffix(".key")), _public(shown)
    )


def _certificate_problem(home: Path, certificate: Path | None, merchant: str) -> str:
    """Why no node of this merchant's takes the caller's certificate, as far as its file tells; else empty."""
    path = certificate or home / "admin.crt"
    try:
        pem = path.read_bytes()
        authority = x509.load_pem_x509_certificate((home / "ca.crt").read_bytes())
        x509.load_pem_x509_certificate(pem).verify_directly_issued_by(authority)
        problem = certificate_refusal(
            caller_from_certificate(pem), merchant=merchant, now_ms=time.time_ns() // 1_000_000, revoked=set()
        )
    except CallerRefused as refused:
        return f"{path}: {refused}"
    except Exception:  # whatever X.509 can be: it is not ours
        return f"{path} is not a certificate of the authority in {home / 'ca.crt'}."
    return "" if problem is None else f"{path}: {problem.value}."


def _public(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CallFailed(
            f"{path} cannot be read ({error.strerror}). A caller needs ca.crt of the node beside vafa.toml, "
            "and its own certificate: admin.crt there, or --certificate NAME.crt with NAME.key beside it."
        ) from None


def explained(error: grpc.RpcError, target: str, request_id: str = "", problem: str = "") -> str:
    """A call's failure in words: the node's own where it refused, else what kept it from being reached.

    `problem` is what is known to be wrong with the caller's certificate, of which TLS says nothing.
    """
    call: Any = error
    status, details = rpc_status.from_call(call), call.details() or ""
    if status is not None:
        again = bool(request_id) and _action(status) in _UNSETTLED
        return details + (_again(request_id) if again else "")
    if call.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        text = f"The node at {target} did not answer in time. `vafa status` says how it is."
    elif call.code() is not grpc.StatusCode.UNAVAILABLE:
        return details or f"The call failed: {call.code().name}."
    elif "CERTIFICATE_VERIFY_FAILED" in details or ("name" in details.lower() and "verif" in details.lower()):
        return (
            f"What answers at {target} shows no certificate that this ca.crt vouches for and that names this "
            "host. Take the ca.crt of that node, or add the host to host_names in its vafa.toml."
        )
    elif "handshake" in details.lower():
        return (
            f"What answers at {target} does not speak TLS as a node does, or the .key is not the .crt's own."
        )
    elif "Socket closed" in details:
        text = f"The node at {target} closed the connection: " + (
            f"it does not know the certificate. {problem} Show one that this node's own authority issued."
            if problem
            else "it is stopping, or does not know the certificate. Show one that this node's own authority "
            "issued and that was not replaced or withdrawn."
        )
    else:
        return f"No node answers at {target}. Start it with `vafa run`, or name another --address." + (
            _again(request_id) if request_id else ""
        )
    return text + (_again(request_id) if request_id else "")


def _action(status: Any) -> str:
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return str(info.metadata.get("action", ""))
    return ""


def _again(request_id: str) -> str:
    return (
        " Whether it was done is not known. Run the same command again with "
        f"--request-id {request_id}: it takes effect once."
    )


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
    """A request id for one run of a command. It ends with the time, which a retry must repeat as well."""
    return f"cli-{uuid.uuid4().hex}-{time.time_ns() // 1_000_000:013d}"


def request_id_and_time(given: str) -> tuple[str, Timestamp]:
    """The id of a change, new unless one is `given`, and the time that goes with it."""
    request_id = given or new_request_id()
    matched = _REQUEST_ID.fullmatch(request_id)
    if matched is None:
        raise typer.BadParameter(
            "an id that a failed run printed, or a name of your own, a hyphen and the epoch time in "
            "milliseconds (13 digits): at most 64 of A-Z a-z 0-9 . _ : -",
            param_hint="--request-id",
        )
    stamp = Timestamp()
    stamp.FromMilliseconds(int(matched[1]))
    return request_id, stamp


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
    if kind not in kinds or not value:
        raise typer.BadParameter(f"{text!r}: write phone:…, card:…, barcode:…, app:… or account:…")
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
