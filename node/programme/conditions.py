"""Conditions in CEL: what is allowed in one, and judging it so that nothing it says can be a fault.

The language is the Common Expression Language (github.com/google/cel-spec). The library puts no limit on what
an expression costs, so this module does: at most 1,000 characters, brackets at most 16 deep (deeper ones
overflow the library's stack, which would end the process), no macros that loop, no regular expressions (one
may take 90 ms, and is compiled anew each time), and only the variables of `variables`.

Every name is checked where it stands, by tokens of our own reading; what the library found in the compiled
expression is then compared with that, so that a misreading here cannot let a name through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import cel

from node.programme.variables import MAP_FIELDS, FieldName, flat_name

MAX_CHARACTERS = 1_000
MAX_DEPTH = 16
MAX_TOKENS = 300

FUNCTIONS = frozenset({"size", "startsWith", "endsWith", "contains", "int", "string"})
_LOOPS = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"})
_OPERATORS = frozenset(
    {"_&&_", "_||_", "!_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_?_:_", "@in", "_[_]"}
    | {"_+_", "_-_", "_*_", "_/_", "_%_", "-_"}
)
_WORDS = frozenset({"true", "false", "null", "in"})

_TOKEN = re.compile(
    r"""
      (?P<space> \s+ | //[^\n]* )
    | (?P<string> (?:[rR][bB]?|[bB][rR])(?: \"{3}[\s\S]*?\"{3} | '{3}[\s\S]*?'{3} | "[^"\n]*" | '[^'\n]*' )
        | [bB]?(?: \"{3}(?:\\[\s\S]|[^\\])*?\"{3} | '{3}(?:\\[\s\S]|[^\\])*?'{3}
                 | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' ) )
    | (?P<number> 0[xX][0-9a-fA-F]+[uU]? | (?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[uU]? )
    | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<mark> && | \|\| | [=!<>]= | [-+*/%!<>?:.,()\[\]{}] )
    """,
    re.VERBOSE,
)
_PLACE = re.compile(r"<input>:(\d+):(\d+): (.*)")


class Token(NamedTuple):
    """A piece of a condition: its kind (the names of the groups above), its text, where it starts."""

    kind: str
    text: str
    at: int


class BadCondition(ValueError):
    """A condition that is refused; the message says why, in a sentence for the merchant."""


class Trouble(StrEnum):
    """Why a condition gave neither true nor false. The kind only, and no value: it ends in logs."""

    MISSING = "the condition reads an attribute that is not there"
    BEYOND_LIST = "the condition reads beyond the end of a list"
    TYPES = "the condition puts values together whose types do not fit"
    ARITHMETIC = "the condition's arithmetic has no result"
    NOT_BOOLEAN = "the condition gives a value that is neither true nor false"
    VALUES = "the condition cannot be judged on these values"


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition: the fields that it reads, and the attributes that it names."""

    program: cel.Program
    fields: frozenset[FieldName]
    attributes: frozenset[str]

    def judge(self, context: cel.Context) -> bool | Trouble:
        """True or false; or why it is neither. Never raises, whatever the values of `new_context` are."""
        try:
            answer = self.program.execute(context)
        except BaseException as fault:
            # A panic of the library is a BaseException, which would pass every other fence on its way up.
            if isinstance(fault, (KeyboardInterrupt, SystemExit, GeneratorExit)):
                raise
            return _trouble(fault)
        return answer if isinstance(answer, bool) else Trouble.NOT_BOOLEAN


def _trouble(fault: BaseException) -> Trouble:
    match fault:
        case KeyError():
            return Trouble.MISSING
        case IndexError():
            return Trouble.BEYOND_LIST
        case TypeError():
            return Trouble.TYPES
        case ArithmeticError():
            return Trouble.ARITHMETIC
        case _:
            return Trouble.VALUES


def compile_condition(source: str, known: Mapping[str, frozenset[str]]) -> Condition:
    """Compiles a condition over the variables and fields of `known`; BadCondition says why it is refused."""
    if len(source) > MAX_CHARACTERS:
        raise BadCondition(f"A condition has at most {MAX_CHARACTERS} characters; this has {len(source)}.")
    tokens = _tokens(source)
    _check_size(tokens)
    _compile(source)
    reading = _Reading(tokens, known)
    program = _compile(reading.rewritten(source))
    fields = frozenset(reading.fields.values())
    if not set(program.variables()) <= {flat_name(field) for field in fields}:
        raise BadCondition(f"A condition reads only {_listed(known)}.")
    if not set(program.functions()) <= FUNCTIONS | _OPERATORS:
        raise BadCondition(f"The functions of a condition are {_listed(FUNCTIONS)} and has.")
    return Condition(program, fields, frozenset(reading.attributes))


def new_context(values: Mapping[str, object]) -> cel.Context:
    """The values as the library wants them, turned once for all conditions of an evaluation."""
    return cel.Context(dict(values))


def _compile(source: str) -> cel.Program:
    try:
        return cel.compile(source)
    except BaseException as fault:
        if isinstance(fault, (KeyboardInterrupt, SystemExit, GeneratorExit)):
            raise
        found = _PLACE.search(str(fault))
        where = f" at character {found[2]}: {found[3][:120]}" if found else ""
        raise BadCondition(f"This is not an expression in CEL{where}.") from None


def _tokens(source: str) -> list[Token]:
    tokens, at = [], 0
    while at < len(source):
        found = _TOKEN.match(source, at)
        if found is None:
            if source[at] in "\"'":
                raise BadCondition(f"The text that begins at character {at + 1} is not closed.")
            raise BadCondition(f"The character {source[at]!r} at {at + 1} does not belong in a condition.")
        kind = found.lastgroup or ""
        if kind != "space":
            tokens.append(Token(kind, found[0], at))
        at = found.end()
    return tokens


def _check_size(tokens: list[Token]) -> None:
    if len(tokens) > MAX_TOKENS:
        raise BadCondition(f"A condition has at most {MAX_TOKENS} words and signs; this has {len(tokens)}.")
    depth = 0
    for token in tokens:
        if token.kind == "mark":
            depth += (token.text in "([{") - (token.text in ")]}")
        if depth > MAX_DEPTH:
            raise BadCondition(f"The brackets of a condition are at most {MAX_DEPTH} deep.")


class _Reading:
    """Walks over the tokens once; `fields` maps a pair of token positions (root, field) to the field."""

    def __init__(self, tokens: list[Token], known: Mapping[str, frozenset[str]]) -> None:
        self._tokens = tokens
        self._known = known
        self.fields: dict[tuple[int, int], FieldName] = {}
        self.attributes: set[str] = set()
        for at, token in enumerate(tokens):
            if token.kind == "name" and token.text not in _WORDS:
                self._read_name(at, token)

    def rewritten(self, source: str) -> str:
        """The source with every `root.field` as one flat variable."""
        parts, done = [], 0
        for (start, end), field in self.fields.items():
            last = self._tokens[end]
            parts += [source[done : self._tokens[start].at], flat_name(field)]
            done = last.at + len(last.text)
        return "".join([*parts, source[done:]])

    def _text(self, at: int) -> str:
        return self._tokens[at].text if 0 <= at < len(self._tokens) else ""

    def _read_name(self, at: int, token: Token) -> None:
        if self._text(at - 1) == ".":
            self._read_part(at, token)
        elif self._text(at + 1) == "(":
            self._check_function(token.text, method=False)
        elif token.text not in self._known:
            raise BadCondition(f"There is no {token.text!r}; a condition reads {_listed(self._known)}.")
        else:
            self._read_field(at, token.text)

    def _read_field(self, at: int, root: str) -> None:
        name = self._text(at + 2) if self._text(at + 1) == "." else ""
        if name not in self._known[root]:
            wrong = f"{root} has no {name!r}" if name else f"{root} alone says nothing: name a field of it"
            raise BadCondition(f"{wrong}; it has {_listed(self._known[root])}.")
        if self._text(at - 2) == "has" and self._text(at - 1) == "(" and self._text(at + 3) == ")":
            raise BadCondition(f"{root}.{name} is always there: has() is for activity.attributes only.")
        self.fields[at, at + 2] = (root, name)
        if (root, name) in MAP_FIELDS and self._text(at + 3) == "[" and self._tokens[at + 4].kind == "string":
            self.attributes.add(self._tokens[at + 4].text.strip("\"'"))

    def _read_part(self, at: int, token: Token) -> None:
        if any(end == at for _, end in self.fields):
            return
        if self._text(at + 1) == "(":
            self._check_function(token.text, method=True)
        elif self.fields.get((at - 4, at - 2)) in MAP_FIELDS:
            self.attributes.add(token.text)
        else:
            raise BadCondition(f"Nothing is known by the name .{token.text}.")

    @staticmethod
    def _check_function(name: str, *, method: bool) -> None:
        if name in _LOOPS:
            raise BadCondition(f"A condition must not loop: {name}() is not allowed. Use `in` and size().")
        if name == "matches":
            raise BadCondition("Regular expressions are too slow here: use startsWith, endsWith or contains.")
        if name not in FUNCTIONS and (method or name != "has"):
            raise BadCondition(f"There is no {name}(); a condition has {_listed(FUNCTIONS)} and has.")


def _listed(names: Mapping[str, object] | frozenset[str]) -> str:
    return ", ".join(sorted(names))
