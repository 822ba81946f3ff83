"""Messages that no sound caller sends: absurd values in every field, cut off, flipped, doubled.

Made from the protos' own descriptions, so that a new field is covered on the day it is added. Some fields are
sensible most of the time (who, when, which request), or nothing would ever get past the first check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

MAX_DEPTH = 5

TEXTS = (
    "", " ", "\x00", "0", "-1", "NaN", "1e309", "../../etc/passwd", "%s%n", "'; DROP TABLE accounts;--",
    "نام فارسی", "أحمد", "۰۹۱۲۱۲۳۴۵۶۷", "٣", "\u202eevil\u202c", "\u2066\u200f\ufeff", "e\u0301" * 40,
    "😀" * 30, "a" * 64, "a" * 65, "a" * 129, "ب" * 3_000, "\n\r\t", "//", "\u2028",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 100, 1_000, -100, 10**15, 10**15 + 1, -(10**15), 2**31 - 1, -(2**31), 2**53 + 1,
    2**63 - 1, -(2**63),
)  # fmt: skip
_INT32 = tuple(number for number in NUMBERS if -(2**31) <= number < 2**31)


@dataclass
class Known:
    """What exists on the node under test: values that make a message sensible. Lists may grow meanwhile."""

    now_ms: Callable[[], int]
    cards: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    transactions: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=lambda: [f"fuzz-{number}" for number in range(40)])

    def sensible(self, described: FieldDescriptor) -> st.SearchStrategy[Any] | None:
        """Values that a sound caller would put into that field; None where nothing is known of it."""
        by_name = self._by_name().get(described.name)
        if by_name is not None and described.type != described.TYPE_ENUM:
            return by_name
        part = described.message_type
        return None if part is None else self._by_type().get(part.full_name)

    def _by_type(self) -> Mapping[str, st.SearchStrategy[Any]]:
        return {
            "google.protobuf.Timestamp": st.integers(-3_600_000, 1_000).map(
                lambda shift: {"seconds": (self.now_ms() + shift) // 1000}
            ),
            "vafa.common.v1.Identifier": st.sampled_from(self.cards).map(
                lambda card: {"kind": 1, "value": card}
            ),
            "vafa.common.v1.Money": st.integers(0, 5_000).map(
                lambda minor: {"currency": "USD", "minor": minor}
            ),
            "vafa.common.v1.Purchase": st.lists(st.integers(0, 2_000), max_size=4).map(_purchase),
            "vafa.common.v1.Spend": st.tuples(st.sampled_from(_PURSES), st.integers(1, 40)).map(
                lambda spend: {"purse": spend[0], "units": spend[1]}
            ),
        }

    def _by_name(self) -> Mapping[str, st.SearchStrategy[Any]]:
        return {
            "request_id": st.sampled_from(self.requests),
            "original_request_id": st.sampled_from(self.requests),
            "transaction_id": _of(self.transactions),
            "authorization_id": _of(self.transactions),
            "proposal_id": _of(self.transactions),
            "account_id": _of(self.accounts),
            "terminal_id": st.just(""),
            "store_id": st.just(""),
            "channel": st.just(""),
            "identifiers": _new_cards(),
            "new_identifier": _new_cards(),
            "purse": st.sampled_from(_PURSES),
            "reason": st.just("a reason"),
            "units": st.integers(1, 40),
            "amount_minor": st.integers(0, 400),
            "quantity_milli": st.integers(0, 2_000),
            "number": st.integers(1, 3),
            "code": st.sampled_from(("welcome", "base", "points")),
            "hold_seconds": st.integers(0, 900),
            "page_size": st.integers(0, 20),
            "stop_at_end": st.just(True),
        }


_PURSES = ("points", "credit", "stamps")


def _purchase(nets: list[int]) -> dict[str, Any]:
    lines = [
        {"number": number, "net_minor": net, "quantity_milli": 1_000} for number, net in enumerate(nets, 1)
    ]
    return {"total": {"currency": "USD", "minor": sum(nets)}, "lines": lines, "codes": ["STAMP"]}


def _new_cards() -> st.SearchStrategy[dict[str, Any]]:
    return st.integers(0, 10**9).map(lambda number: {"kind": 1, "value": f"FZ{number}"})


def _of(values: Sequence[str]) -> st.SearchStrategy[str]:
    # The list grows while the fuzz runs, so it is looked at when a value is drawn.
    return st.integers(0, 1 << 30).map(lambda at: values[at % len(values)] if values else "00-1")


def bodies(kind: type[Message], known: Known) -> st.SearchStrategy[bytes]:
    """The bytes of a message of this kind, or of what is left of one."""
    described: Any = kind.DESCRIPTOR
    whole = messages(described, known).map(lambda values: _filled(kind, values).SerializeToString())
    return _mostly(whole, st.one_of(whole.flatmap(_damaged), st.binary(max_size=200)), percent=80)


def _damaged(body: bytes) -> st.SearchStrategy[bytes]:
    at = st.integers(0, max(0, len(body) - 1))
    return st.one_of(
        at.map(lambda place: body[:place]),
        st.tuples(at, st.integers(0, 7)).map(lambda flip: _flipped(body, *flip)),
        st.binary(min_size=1, max_size=20).map(lambda more: body + more),
        st.just(body + body),
        st.just(body * 40),
    )


def _flipped(body: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(body)
    if changed:
        changed[place] ^= 1 << bit
    return bytes(changed)


def messages(described: Descriptor, known: Known, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """The fields of a message: what is known of is nearly always there, and of the others some are."""
    wanted: dict[str, st.SearchStrategy[Any]] = {}
    others: dict[str, st.SearchStrategy[Any]] = {}
    for one in described.fields:
        sensible = known.sensible(one)
        into = others if sensible is None else wanted
        into[one.name] = _field(one, sensible, known, depth)
    return st.fixed_dictionaries(wanted, optional=others).map(
        lambda values: {name: value for name, value in values.items() if value is not None}
    )


def _field(
    described: FieldDescriptor, sensible: st.SearchStrategy[Any] | None, known: Known, depth: int
) -> st.SearchStrategy[Any]:
    if _is_map(described):
        return st.dictionaries(_texts(), _texts(), max_size=3)
    one = _absurd(described, known, depth)
    if sensible is None:
        return st.lists(one, max_size=3) if described.is_repeated else one
    if described.is_repeated:
        return _mostly(st.lists(sensible, min_size=1, max_size=2), st.lists(one, max_size=3), percent=95)
    return _mostly(sensible, st.one_of(one, st.none()), percent=95)


def _mostly(
    often: st.SearchStrategy[Any], seldom: st.SearchStrategy[Any], *, percent: int
) -> st.SearchStrategy[Any]:
    # `one_of` would take each as often as the other, however often the first is repeated.
    return st.integers(0, 99).flatmap(lambda chance: often if chance < percent else seldom)


def _absurd(described: FieldDescriptor, known: Known, depth: int) -> st.SearchStrategy[Any]:
    part: Any = described.message_type
    if part is not None:
        if depth >= MAX_DEPTH:
            return st.just({})
        return st.deferred(lambda: messages(part, known, depth + 1))
    return _SCALARS[described.type]()


def _is_map(described: Any) -> bool:
    message = described.message_type
    return message is not None and message.GetOptions().map_entry


@cache
def _texts() -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(TEXTS), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))


@cache
def _int64() -> st.SearchStrategy[int]:
    return st.one_of(st.sampled_from(NUMBERS), st.integers(-(2**63), 2**63 - 1))


@cache
def _int32() -> st.SearchStrategy[int]:
    return st.one_of(st.sampled_from(_INT32), st.integers(-(2**31), 2**31 - 1))


@cache
def _enum() -> st.SearchStrategy[int]:
    return st.one_of(st.integers(0, 6), st.sampled_from((-1, 99, 2**31 - 1)))


_SCALARS: dict[int, Callable[[], st.SearchStrategy[Any]]] = {
    FieldDescriptor.TYPE_STRING: _texts,
    FieldDescriptor.TYPE_BYTES: lambda: st.binary(max_size=100),
    FieldDescriptor.TYPE_INT64: _int64,
    FieldDescriptor.TYPE_INT32: _int32,
    FieldDescriptor.TYPE_ENUM: _enum,
    FieldDescriptor.TYPE_BOOL: st.booleans,
}


def _filled(kind: type[Message], values: Mapping[str, Any]) -> Message:
    """A message with these fields; of a choice of several the last one stays."""
    message = kind()
    for name, value in values.items():
        described: Any = kind.DESCRIPTOR.fields_by_name[name]
        if described.message_type is None:
            if described.is_repeated:
                getattr(message, name).extend(value)
            else:
                setattr(message, name, value)
        elif _is_map(described):
            getattr(message, name).update(value)
        elif described.is_repeated:
            part = GetMessageClass(described.message_type)
            getattr(message, name).extend(_filled(part, one) for one in value)
        else:
            part = GetMessageClass(described.message_type)
            getattr(message, name).CopyFrom(_filled(part, value))
    return message
