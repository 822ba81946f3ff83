"""What a caller asks, and on whose behalf."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from node.identity.caller import Caller, Role
from node.ledger.refusals import Reason, Refused, refuse
from node.wire import requests
from node.wire.card_words import tapped
from node.wire.commands import Op
from node.wire.routes import Route, route_of

Terminals = Callable[[str], frozenset[str]]
"""The terminals (store/terminal) that a gateway of that id may act for."""


class Origin(Struct, frozen=True, gc=False):
    """Who asks: the scope of the request's id, the store, and the author for the journal."""

    scope: str
    store_id: str
    author: str


class Ask(Struct, frozen=True, gc=False):
    """One request of a caller's: what, its way, and either its bytes or, of a till's change, the message."""

    op: Op
    route: Route
    body: bytes
    extra: bytes = b""
    message: Any = None


def ask_of(op: Op, message: Any, body: bytes = b"") -> Ask | Refused:
    """A till's request, from the message that it is; a refusal is handed on. Changes need no `body`."""
    way = message if isinstance(message, Refused) else route_of(op, message)
    if isinstance(way, Refused):
        return way
    extra = tapped(op, way.tap) if way.tap else b""
    return Ask(op, way, b"", extra, message) if requests.is_read_by_gateway(op) else Ask(op, way, body, extra)


def origin_of(caller: Caller, terminal_id: str, terminals: Terminals) -> Origin | Refused:
    """On whose behalf a caller asks: a till for itself, a gateway for a terminal on its list."""
    if caller.role is Role.TILL:
        own = f"{caller.store}/{caller.id}"
        if terminal_id in ("", caller.id, own):
            return Origin(own, caller.store, own)
    elif caller.role is Role.GATEWAY:
        if terminal_id in terminals(caller.id):
            return Origin(terminal_id, terminal_id.split("/", 1)[0], terminal_id)
    elif not terminal_id:
        author = f"{caller.role.value}:{caller.id}"
        return Origin(author, "", author)
    return refuse(
        Reason.TERMINAL_NOT_ALLOWED,
        "The caller may not act for this terminal. Nothing was done.",
        terminal_id=terminal_id,
    )
