"""A programme as a TOML file: what a merchant writes and `vafa programme show` prints.

The file has the fields of `vafa.programme.v1.Programme` by their names, with two eases: an enum is written
short and small ("half_even" for ROUNDING_HALF_EVEN), and dates and times may be TOML's own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any, cast

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from node.programme.problems import Problem
from node.proto.vafa.programme.v1 import programme_pb2 as pb

_TIMESTAMP = Timestamp.DESCRIPTOR.full_name


def programme_from_toml(text: str) -> pb.Programme | tuple[Problem, ...]:
    """The message that a file describes, or what is wrong with the file.

    A mistake in TOML itself is said with its line, one in a field with its path. Whether the programme makes
    sense is for `programme_from_proto` to say.
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        return (Problem("", f"This is not a TOML file: {fault}."),)
    message = pb.Programme()
    problems = tuple(_fill(message, table, ""))
    return problems or message


def programme_to_toml(message: pb.Programme) -> str:
    """The file for a programme; `programme_from_toml` reads it back to an equal message."""
    return "\n".join(_table(message, "")).strip() + "\n"


# --- reading ---------------------------------------------------------------------------------------------


class _Wrong(ValueError):
    """A value that its field cannot hold; the message is a sentence."""


def _fill(message: Message, table: Mapping[str, Any], path: str) -> Iterator[Problem]:
    fields = cast(Mapping[str, FieldDescriptor], message.DESCRIPTOR.fields_by_name)
    for key, value in table.items():
        place = f"{path}.{key}" if path else key
        if key not in fields:
            yield Problem(place, _unknown(key, list(fields)))
            continue
        field = fields[key]
        group = field.containing_oneof
        others = [] if group is None else [other.name for other in group.fields if other.name in table]
        if len(others) > 1:
            yield Problem(place, f"Only one of {', '.join(others)} can be said.")
            continue
        try:
            yield from _set(message, field, value, place)
        except (_Wrong, ValueError, TypeError, OverflowError) as fault:
            yield Problem(place, str(fault) if isinstance(fault, _Wrong) else "The value is out of range.")


def _unknown(key: str, names: list[str]) -> str:
    near = get_close_matches(key, names, 1)
    return f"There is no such field; do you mean {near[0]}?" if near else "There is no such field."


def _set(message: Message, field: FieldDescriptor, value: object, path: str) -> Iterator[Problem]:
    if _is_map(field):
        texts = getattr(message, field.name)
        for language, words in _expect(dict, value, "a table of texts by language").items():
            texts[language] = _expect(str, words, "a table of texts by language")
    elif field.is_repeated:
        yield from _set_list(message, field, _expect(list, value, "a list"), path)
    elif field.message_type is None:
        setattr(message, field.name, _scalar(field, value))
    elif field.message_type.full_name == _TIMESTAMP:
        getattr(message, field.name).CopyFrom(_timestamp(value))
    else:
        child = getattr(message, field.name)
        child.SetInParent()
        yield from _fill(child, _expect(dict, value, "a table"), path)


def _set_list(message: Message, field: FieldDescriptor, values: list[Any], path: str) -> Iterator[Problem]:
    entries = getattr(message, field.name)
    for at, value in enumerate(values):
        if field.message_type is None:
            entries.append(_scalar(field, value))
        else:
            yield from _fill(entries.add(), _expect(dict, value, "a list of tables"), f"{path}[{at}]")


def _scalar(field: FieldDescriptor, value: object) -> object:
    if field.enum_type is not None:
        return _enum(field.enum_type, value)
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            if isinstance(value, date) and not isinstance(value, datetime):
                return value.isoformat()
            return _expect(str, value, "text in quotes")
        case FieldDescriptor.TYPE_BOOL:
            return _expect(bool, value, "true or false")
        case _:
            if isinstance(value, bool):
                raise _Wrong("This must be a whole number.")
            return _expect(int, value, "a whole number")


def _enum(enum: EnumDescriptor, value: object) -> int:
    names = {_short(enum, each.name): each.number for each in enum.values if each.number}
    if not isinstance(value, str) or value not in names:
        raise _Wrong(f"This must be one of {', '.join(names)}.")
    return names[value]


def _timestamp(value: object) -> Timestamp:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise _Wrong("This must be a time with its offset, such as 2026-03-21T00:00:00+03:30.")
    found = Timestamp()
    found.FromDatetime(value)
    return found


def _expect(kind: type, value: Any, words: str) -> Any:
    if not isinstance(value, kind):
        raise _Wrong(f"This must be {words}.")
    return value


def _short(enum: EnumDescriptor, name: str) -> str:
    """The name without the enum's prefix, which the name of its zero value tells."""
    return name.removeprefix(enum.values_by_number[0].name.removesuffix("UNSPECIFIED")).lower()


# --- writing ---------------------------------------------------------------------------------------------


def _table(message: Message, path: str) -> Iterator[str]:
    """The lines of a table: its plain fields first, then the tables within it."""
    tables = []
    for field, value in message.ListFields():
        if _is_table(field):
            tables.append((field, value))
        else:
            yield f"{field.name} = {_value(field, value)}"
    for field, value in tables:
        name = f"{path}.{field.name}" if path else field.name
        if _is_map(field):
            yield from ("", f"[{name}]")
            yield from (f"{_quoted(key)} = {_quoted(value[key])}" for key in sorted(value))
        elif field.is_repeated:
            for entry in value:
                yield from ("", f"[[{name}]]")
                yield from _table(entry, name)
        else:
            yield from ("", f"[{name}]")
            yield from _table(value, name)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _is_table(field: FieldDescriptor) -> bool:
    """Whether a field gets a heading of its own: lists and maps of tables, and tables that hold lists."""
    kind = field.message_type
    if kind is None or kind.full_name == _TIMESTAMP:
        return False
    return (
        field.is_repeated
        or field.containing_type is pb.Programme.DESCRIPTOR
        or any(each.is_repeated for each in kind.fields)
    )


def _value(field: FieldDescriptor, value: Any) -> str:
    if field.is_repeated:
        return f"[{', '.join(_plain(field, each) for each in value)}]"
    return _plain(field, value)


def _plain(field: FieldDescriptor, value: Any) -> str:
    if field.message_type is not None:
        if isinstance(value, Timestamp):
            return value.ToJsonString()
        parts = [f"{part.name} = {_value(part, each)}" for part, each in value.ListFields()]
        return f"{{ {', '.join(parts)} }}" if parts else "{}"
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return _quoted(_short(field.enum_type, named.name) if named else str(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    """A TOML basic string: all scripts as they are, only quotes, backslashes and controls escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{"".join(_escape(character) for character in escaped)}"'


def _escape(character: str) -> str:
    return f"\\u{ord(character):04X}" if character < " " or character == "\x7f" else character
