"""Commands that are calls: the options which all of them have, given to each by one decorator."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import grpc
from google.protobuf.message import Message

from node.cli.connection import (
    DEADLINE_SECONDS,
    DEFAULT_CONFIG,
    AddressOption,
    CertificateOption,
    ConfigOption,
    JsonOption,
    RequestIdOption,
    connected,
    load,
    request_id_and_time,
    show,
)

Stub = Callable[[grpc.Channel], Any]


@dataclass(frozen=True, slots=True)
class Call:
    """How a command reaches the node and shows its answer: what its options say."""

    config: Path
    address: str
    certificate: Path | None
    json: bool
    request_id: str = ""

    def ask(self, stub: Stub, method: str, request: Message, *, seconds: float = DEADLINE_SECONDS) -> Any:
        """The answer to a request that changes nothing; CallFailed where there is none."""
        with connected(self.config, self.address, self.certificate) as channel:
            return getattr(stub(channel), method)(request, timeout=seconds)

    def change(self, stub: Stub, method: str, request: Any) -> Any:
        """The answer to a request that changes something, which gets its id and time here.

        Both are the same in a second run with `--request-id`, so the request's bytes are, too: however often
        it arrives, it takes effect once.
        """
        request.request_id, occurred = request_id_and_time(self.request_id)
        if "occurred_time" in request.DESCRIPTOR.fields_by_name:
            request.occurred_time.CopyFrom(occurred)
        with connected(self.config, self.address, self.certificate, request.request_id) as channel:
            return getattr(stub(channel), method)(request, timeout=DEADLINE_SECONDS)

    def show(self, answer: Message, plain: Callable[[], str]) -> None:
        """Prints the answer, as JSON where that was asked for."""
        show(answer, self.json, plain)

    def time_zone(self) -> str:
        """The merchant's time zone, in which times are shown."""
        return load(self.config).merchant.time_zone


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command, whose first parameter is a `Call`, the options of one that changes nothing."""
    return _with_options(command, _OPTIONS)


def changing(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command, whose first parameter is a `Call`, the options of one that changes something."""
    return _with_options(command, (_REQUEST_ID, *_OPTIONS))


_OPTIONS = (
    ("config", ConfigOption, DEFAULT_CONFIG),
    ("address", AddressOption, ""),
    ("certificate", CertificateOption, None),
    ("json", JsonOption, False),
)
_REQUEST_ID = ("request_id", RequestIdOption, "")


def _with_options(command: Callable[..., None], options: tuple[Any, ...]) -> Callable[..., None]:
    hints = get_type_hints(command, include_extras=True)
    _, *own = inspect.signature(command).parameters.values()
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, annotation, default in options
    ]

    def run(**given: Any) -> None:
        call = Call(**{name: given.pop(name) for name, _, _ in options})
        command(call, **given)

    # Typer reads the signature and the annotations, and takes a command's help from its docstring.
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[one.name]) for one in own]
    run.__signature__ = inspect.Signature([*parameters, *added])  # type: ignore[attr-defined]  # what typer reads the options from
    run.__annotations__ = {one.name: one.annotation for one in (*parameters, *added)}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run
