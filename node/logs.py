"""What the node tells the people who run it in words: logs without personal data, one line a record."""

import contextlib
import io
import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

_MASK = "***"
# A key of which one word (`member_phone`: member, phone) is here is masked, whatever it holds.
_PERSONAL = re.compile(
    r"(?:^|_)(?:names?|phones?|mobile|msisdn|email|birth(?:day|date)?|gender|identifiers?|normal|values?|card"
    r"|barcode|pan|body|payload|plaintext|csr|code|pin|otp|secret|password|token|key)(?:_|$)",
    re.IGNORECASE,
)
# What exceptions and log lines of libraries quote from their input: text in quotes, and long numbers.
_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|\d{5,}""")
_MAX_DEPTH = 4


def configure_logging(level: str, form: str) -> None:
    """Send structlog, and warnings of the libraries that use logging, to standard error.

    `level` and `form` are [log] level and format of the configuration. One line a record with UTC time; what
    a key's name says is personal is masked, objects show only their type, and exceptions of libraries do not
    show what they quote. Call it once in each process.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=json.dumps, ensure_ascii=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    steps: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _explain_exception,
        _without_personal_data,
        renderer,
    ]
    structlog.configure(
        processors=steps,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: structlog.WriteLogger(cast(TextIO, _ERRORS)),
        cache_logger_on_first_use=False,
    )
    handler = _LibraryHandler()
    without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[_mask_library, without_meta, *steps])
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
    # Ray gives its logger a handler of its own, past which nothing is masked.
    rays = logging.getLogger("ray")
    rays.handlers.clear()
    rays.propagate = True


class _StandardError(io.TextIOBase):
    """Standard error as it is now, for it may have been redirected since; a line it does not take is lost.

    The log may lie on the disk that is full, and whoever has that to tell must not fail over telling it.
    """

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


_ERRORS = _StandardError()


class _LibraryHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            _ERRORS.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


def _without_personal_data(_logger: Any, _method: str, event: EventDict) -> EventDict:
    return {key: _plain(key, value, _MAX_DEPTH) for key, value in event.items()}


def _plain(key: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if _PERSONAL.search(key):
        return _MASK
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping) and depth:
        return {str(inner): _plain(str(inner), item, depth - 1) for inner, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_plain(key, item, depth - 1) for item in value]
    # Never a repr: it may show what the object holds.
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else f"<{type(value).__name__}>"


def _explain_exception(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Where it was raised and of which type; its text whole if it is ours, without what it quotes if not."""
    given = event.pop("exc_info", None)
    if not given:
        return event
    error = given[1] if isinstance(given, tuple) else sys.exception() if given is True else given
    parts: list[str] = []
    while error is not None and len(parts) < _MAX_DEPTH:
        text = str(error) if type(error).__module__.startswith("node.") else _QUOTED.sub(_MASK, str(error))
        frames = "".join(traceback.format_tb(error.__traceback__))
        parts.append(f"{frames}{type(error).__qualname__}: {text}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    event["exception"] = "\n\nwhich came from:\n\n".join(parts)
    return event


def _mask_library(_logger: Any, _method: str, event: EventDict) -> EventDict:
    event["event"] = _QUOTED.sub(_MASK, str(event["event"]))
    event["logger"] = event["_record"].name
    return event
