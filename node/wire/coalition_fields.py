"""Structs of the coalition to protobuf and back, field by field, with every field's bound checked.

The structs mirror the protos (`coalition.messages`, `coalition.directory`): the same field names, but that a
time is `<name>_ms`, epoch milliseconds, 0 where absent. So one converter serves them all, built once a type.
Bytes of a partner's are believed in nothing: a value outside its bound is `OutOfBounds`, never a struct.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable
from enum import IntEnum
from functools import cache
from typing import Any, TypeVar

from google.protobuf.message import Message as ProtoMessage
from msgspec import Struct

from node.config import SLUG_PATTERN
from node.ledger.days import MAX_MS

MAX_UNITS = 10**15
MAX_NUMBER = 1 << 62
MAX_REPEATED = 10_000
_NANOS = 1_000_000

S = TypeVar("S", bound=Struct)
_Check = Callable[[Any], bool]


class OutOfBounds(ValueError):
    """A field holds what it must not; the text names the field, never its value."""


def _span(least: int, most: int) -> _Check:
    return lambda value: least <= value <= most


def _sizes(*sizes: int) -> _Check:
    return lambda value: len(value) in sizes


def _size_span(least: int, most: int) -> _Check:
    return lambda value: least <= len(value) <= most


def _form(pattern: str) -> _Check:
    matches = re.compile(pattern, re.ASCII).fullmatch
    return lambda value: matches(value) is not None


_SLUG = _form(SLUG_PATTERN)
_HASH, _HASH_OR_NONE = _sizes(32), _sizes(0, 32)
_UNITS, _NUMBER = _span(1, MAX_UNITS), _span(0, MAX_NUMBER)
_LANE = _span(0, 63)
_SECONDS = _span(0, 366 * 86_400)
_TEXT = _size_span(0, 120)
_SAID = _span(1, 1_000)  # an enum whose 0 means "not said"

BOUNDS: dict[str, _Check] = {
    # envelope
    "Header.version": _span(1, 1),
    "Header.coalition_id": _SLUG,
    "Header.sender_id": _SLUG,
    "Header.receiver_id": _SLUG,
    "Header.key_uri": _form("ed25519:[0-9a-f]{64}"),
    "Header.lane": _span(-1, 63),
    "Header.exchange_id": _sizes(0, 16),
    "Header.issue_time_ms": _span(1, MAX_MS),
    "Header.body_hash": _HASH,
    "AppAnswer.code": _size_span(1, 64),
    "AppAnswer.nonce": _size_span(8, 32),
    "AppAnswer.ceiling_units": _UNITS,
    "MemberProof.confirmation_code": _size_span(0, 32),
    "MemberProof.pin": _size_span(0, 32),
    "MemberProof.card_cryptogram": _size_span(0, 1024),
    # exchange
    "SaleTerms.store_id": _size_span(0, 64),
    "SaleTerms.terminal_id": _size_span(0, 128),
    "SaleTerms.sale_hash": _HASH_OR_NONE,
    "Reserve.units": _UNITS,
    "Reserve.hold_seconds": _span(1, 366 * 86_400),
    "Authorized.units": _UNITS,
    "Authorized.balance_units": _span(-MAX_UNITS, MAX_UNITS),
    "Posted.balance_units": _span(-MAX_UNITS, MAX_UNITS),
    "Declined.reason": _SAID,
    "Declined.detail": _size_span(0, 40),
    "Voided.reason": _SAID,
    "Refusal.reason": _SAID,
    "Cancel.request_body_hash": _HASH_OR_NONE,
    "Query.request_body_hash": _HASH_OR_NONE,
    "Capture.units": _UNITS,
    "Capture.reference": _sizes(0, 16),
    "Accrue.units": _UNITS,
    "ReturnAbroad.units": _UNITS,
    "ReturnAbroad.original_exchange_id": _sizes(16),
    "ReturnAbroad.original_number": _span(1, MAX_NUMBER),
    "PostedCore.exchange_id": _sizes(0, 16),
    "PostedCore.purse": _size_span(1, 64),
    "PostedCore.units": _span(0, MAX_UNITS),
    "PostedCore.lane": _LANE,
    "PostedCore.number": _span(1, MAX_NUMBER),
    "PostedCore.rate_version": _span(0, 1 << 30),
    "PostedCore.post_time_ms": _span(1, MAX_MS),
    "PostedCore.request_hash": _HASH_OR_NONE,
    "Voided.request_body_hash": _HASH_OR_NONE,
    "Challenge.ceiling_units": _UNITS,
    "Inquired.spendable_units": _span(-1, MAX_UNITS),
    "ProofLimit.proof": _size_span(1, 40),
    "ProofLimit.transaction_units": _span(0, MAX_UNITS),
    "Inquired.limits": _size_span(0, 16),
    "CardStep.units": _span(0, MAX_UNITS),
    "CardStep.tap": _size_span(0, 300),
    "CardStep.terminal_id": _TEXT,
    "CardStep.session_id": _sizes(0, 16),
    "CardStep.response_apdu": _size_span(0, 300),
    "CardStepped.session_id": _sizes(0, 16),
    "CardStepped.command_apdu": _size_span(0, 300),
    "CardStepped.refusal": _size_span(0, 40),
    "Refusal.retry_after_ms": _span(0, 86_400_000),
    "LaneHead.lane": _LANE,
    "LaneHead.hash": _HASH,
    "Hello.nonce": _size_span(8, 32),
    "Hello.request_nonce": _sizes(0, 16),
    "HelloRequest.nonce": _sizes(0, 16),
    "HelloReply.nonce": _size_span(8, 32),
    "HelloRequest.heads": _size_span(0, 64),
    "Settlement.payload": _size_span(1, 400 * 1024),
    # directory
    "Directory.coalition_id": _SLUG,
    "Directory.version": _span(1, MAX_NUMBER),
    "Directory.publish_time_ms": _span(1, MAX_MS),
    "Directory.partners": _size_span(0, 1_000),
    "Partner.partner_id": _SLUG,
    "Partner.name": _size_span(1, 120),
    "Partner.endpoints": _size_span(0, 8),
    "Partner.relay_partner_id": _form(f"({SLUG_PATTERN})?"),
    "Partner.keys": _size_span(0, 64),
    "Partner.authority_pem": _size_span(0, 16_384),
    "Partner.ranges": _size_span(0, 1_000),
    "Partner.partitions": _span(1, 64),
    "Partner.sealing_key": _form("(x25519:[0-9a-f]{64})?"),
    "Key.uri": _form("ed25519:[0-9a-f]{64}"),
    "IdentifierRange.kind": _span(1, 4),
    "IdentifierRange.prefix": _form("[!-~]{1,64}"),
    "CoalitionPurse.code": _size_span(1, 64),
    "CoalitionPurse.exponent": _span(0, 6),
    "Rate.version": _span(1, 1 << 30),
    "Rate.currency": _form("[A-Z]{3}"),
    "Cap.debtor_id": _SLUG,
    "Cap.creditor_id": _SLUG,
    "Cap.units": _span(0, MAX_UNITS),
    "OperatorNode.endpoints": _size_span(0, 8),
    "OperatorNode.authority_pem": _size_span(0, 16_384),
    "SettlementTerms.currency": _form("[A-Z]{3}"),
    "SettlementTerms.currency_exponent": _span(0, 6),
    "SettlementTerms.fees": _size_span(0, 1_000),
    "SettlementTerms.restated_rates": _size_span(0, 1_000),
    "SettlementTerms.prepaid_alert_percents": _size_span(0, 16),
    "Fee.code": _SLUG,
    "Fee.partner_id": _form(f"({SLUG_PATTERN})?"),
    "Fee.volume_ppm": _span(0, 1_000_000),
    "RestatedRate.rate_version": _span(1, 1 << 30),
}
"""What a field may hold, where it is less than what `_default_check` allows its kind of field."""

_BY_NAME: dict[str, _Check] = {
    "body_hash": _HASH,
    "request_hash": _HASH,
    "request_body_hash": _HASH,
    "authorized_hash": _HASH,
    "hash": _HASH,
    "identifier_commitment": _HASH,
    "proof_commitment": _HASH,
    "pseudonym": _size_span(0, 32),
    "hold_seconds": _SECONDS,
}


class Converter:
    """One struct type: `fill` a proto message from a struct, `read` a struct from a message."""

    def __init__(self, kind: type[Struct]) -> None:
        self._kind = kind
        hints = typing.get_type_hints(kind)
        self._parts = [_part(kind, name, hints[name]) for name in kind.__struct_fields__]

    def fill(self, message: ProtoMessage, struct: Struct) -> None:
        """Sets the message's fields from the struct's."""
        for name, write, _, _ in self._parts:
            write(message, getattr(struct, name))

    def read(self, message: ProtoMessage) -> Any:
        """The struct; raises OutOfBounds."""
        values = []
        for name, _, read, check in self._parts:
            value = read(message)
            if not check(value):
                raise OutOfBounds(f"{self._kind.__name__}.{name} holds a value outside its bounds")
            values.append(value)
        return self._kind(*values)


@cache
def converter(kind: type[Struct]) -> Converter:
    """The converter of a struct type."""
    return Converter(kind)


def read_as(kind: type[S], message: ProtoMessage) -> S:
    """A message as a struct; raises OutOfBounds."""
    return converter(kind).read(message)  # type: ignore[no-any-return]  # the converter of `kind` gives a `kind`


_Part = tuple[str, Callable[[Any, Any], None], Callable[[Any], Any], _Check]


def _part(kind: type[Struct], name: str, hint: Any) -> _Part:
    check = BOUNDS.get(f"{kind.__name__}.{name}") or _BY_NAME.get(name)
    if name.endswith("_ms") and hint is int and name != "retry_after_ms":
        field = name.removesuffix("_ms")
        return name, _time_writer(field), _time_reader(field), check or _span(0, MAX_MS)
    origin = typing.get_origin(hint)
    if origin is types.UnionType:
        hint = next(one for one in typing.get_args(hint) if one is not type(None))
        inner = converter(hint)
        return name, _optional_writer(name, inner), _optional_reader(name, inner), check or _any
    if origin is tuple:
        (item, *_) = typing.get_args(hint)
        return _repeated_part(name, item, check or _size_span(0, MAX_REPEATED))
    if isinstance(hint, type) and issubclass(hint, Struct):
        inner = converter(hint)
        return name, _nested_writer(name, inner), _nested_reader(name, inner), check or _any
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return name, _setter(name), _enum_reader(name, hint), check or _any
    default: _Check = {int: _NUMBER, str: _TEXT, bytes: _size_span(0, 64), bool: _any}[hint]
    return name, _setter(name), lambda message: getattr(message, name), check or default


def _repeated_part(name: str, item: Any, check: _Check) -> _Part:
    if typing.get_origin(item) is tuple:  # (key, value) pairs of a map, sorted: one form for one map
        return (
            name,
            lambda message, pairs: getattr(message, name).update(dict(pairs)),
            lambda message: tuple(sorted(getattr(message, name).items())),
            lambda pairs: len(pairs) <= 64 and all(_TEXT(key) and _TEXT(text) for key, text in pairs),
        )
    if isinstance(item, type) and issubclass(item, Struct):
        inner = converter(item)

        def write(message: Any, structs: Any) -> None:
            for struct in structs:
                inner.fill(getattr(message, name).add(), struct)

        def read(message: Any) -> Any:
            found = getattr(message, name)
            if not check(found):  # before a thousand of them are read
                raise OutOfBounds(f"{name} has too many items")
            return tuple([inner.read(one) for one in found])

        return name, write, read, _any
    each: _Check = {int: _NUMBER, str: _size_span(0, 260), bytes: _sizes(16)}[item]
    return (
        name,
        lambda message, values: getattr(message, name).extend(values),
        lambda message: tuple(getattr(message, name)),
        lambda values: check(values) and all(each(value) for value in values),
    )


def _any(_value: object) -> bool:
    return True


def _setter(name: str) -> Callable[[Any, Any], None]:
    return lambda message, value: setattr(message, name, value)


def _enum_reader(name: str, hint: type[IntEnum]) -> Callable[[Any], Any]:
    known = {int(one): one for one in hint}

    def read(message: Any) -> IntEnum:
        value = known.get(getattr(message, name))
        if value is None:
            raise OutOfBounds(f"{name} has a value that this software does not know")
        return value

    return read


def _time_writer(field: str) -> Callable[[Any, Any], None]:
    def write(message: Any, at_ms: int) -> None:
        if at_ms:
            stamp = getattr(message, field)
            stamp.seconds, stamp.nanos = at_ms // 1000, at_ms % 1000 * _NANOS

    return write


def _time_reader(field: str) -> Callable[[Any], int]:
    def read(message: Any) -> int:
        if not message.HasField(field):
            return 0
        stamp = getattr(message, field)
        if not 0 <= stamp.nanos < 1_000_000_000:
            raise OutOfBounds(f"{field} is no time")
        return int(stamp.seconds * 1000 + stamp.nanos // _NANOS)

    return read


def _nested_writer(name: str, inner: Converter) -> Callable[[Any, Any], None]:
    def write(message: Any, struct: Struct) -> None:
        nested = getattr(message, name)
        nested.SetInParent()
        inner.fill(nested, struct)

    return write


def _nested_reader(name: str, inner: Converter) -> Callable[[Any], Any]:
    return lambda message: inner.read(getattr(message, name))


def _optional_writer(name: str, inner: Converter) -> Callable[[Any, Any], None]:
    write = _nested_writer(name, inner)
    return lambda message, struct: None if struct is None else write(message, struct)


def _optional_reader(name: str, inner: Converter) -> Callable[[Any], Any]:
    return lambda message: inner.read(getattr(message, name)) if message.HasField(name) else None
