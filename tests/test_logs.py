"""Logs hold no personal data, one line a record, whatever is thrown at them."""

import ast
import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

import msgspec
import pytest
import structlog

from node.config import ConfigError
from node.logs import configure_logging


class Colour(Enum):
    RED = 1


class Person(msgspec.Struct):
    first: str


@pytest.fixture
def log_lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[str]]]:
    root = logging.getLogger()
    level = root.level
    configure_logging("info", "json")
    yield lambda: capsys.readouterr().err.splitlines()
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    for handler in root.handlers[:]:
        # pytest puts handlers of its own there for each phase of a test; only ours goes.
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(handler)
    root.setLevel(level)


def test_a_record_is_one_line_of_json_with_time_level_and_any_script(
    log_lines: Callable[[], list[str]],
) -> None:
    structlog.get_logger().info(
        "store opened", shard=3, directory=Path("/srv/کتاب"), colour=Colour.RED, ratio=0.5
    )
    [line] = log_lines()
    record = json.loads(line)
    assert record["event"] == "store opened"
    assert record["level"] == "info"
    assert record["timestamp"].endswith("Z")
    assert (record["shard"], record["directory"], record["colour"]) == (3, "/srv/کتاب", "RED")
    assert "کتاب" in line


def test_what_a_key_says_is_personal_is_never_written(log_lines: Callable[[], list[str]]) -> None:
    secret = "+989121234567"
    structlog.get_logger().warning(
        "refused",
        phone=secret,
        member_phone=secret,
        Name=secret,
        identifier_value=secret,
        details={"birth_date": secret, "deeper": [{"card": secret}]},
        otp=989121234567,
        code=secret,
        request_id="r-1",
        shard=1,
    )
    [line] = log_lines()
    assert "9121234567" not in line
    record = json.loads(line)
    assert record["request_id"] == "r-1"
    assert record["shard"] == 1
    assert record["phone"] == "***"


def test_raw_bodies_and_objects_show_only_what_they_are(log_lines: Callable[[], list[str]]) -> None:
    structlog.get_logger().error(
        "garbage", received=b"\x0a\x05Leila", found=Person("Leila"), held=[Person("Leila")]
    )
    [line] = log_lines()
    assert "Leila" not in line
    assert json.loads(line)["received"] == "<7 bytes>"
    assert json.loads(line)["found"] == "<Person>"


def test_a_nest_without_bottom_is_cut_off(log_lines: Callable[[], list[str]]) -> None:
    nest: list[object] = []
    nest.append(nest)
    structlog.get_logger().error("deep", nest=nest)
    assert len(log_lines()) == 1


def test_an_exception_shows_where_and_what_but_not_what_it_quotes(log_lines: Callable[[], list[str]]) -> None:
    typed = "Leila 09121234567"
    try:
        try:
            int(typed)
        except ValueError as error:
            raise KeyError(typed) from error
    except KeyError:
        structlog.get_logger().exception("fault")
    [line] = log_lines()
    assert "Leila" not in line
    assert "0912" not in line
    trace = json.loads(line)["exception"]
    assert Path(__file__).name in trace
    assert "KeyError: ***" in trace
    assert "ValueError: invalid literal for int() with base 10: ***" in trace


def test_our_own_errors_are_shown_whole(log_lines: Callable[[], list[str]]) -> None:
    structlog.get_logger().error("stopped", exc_info=ConfigError("vafa.toml: 'partition' is not a key"))
    [line] = log_lines()
    assert "'partition' is not a key" in json.loads(line)["exception"]


def test_libraries_that_use_logging_come_out_the_same_way(log_lines: Callable[[], list[str]]) -> None:
    logging.getLogger("grpc").info("too talkative")
    logging.getLogger("asyncio").error("future: <Task exception=ValueError('Leila 09121234567')>")
    typed = "Leila"
    try:
        int(typed)
    except ValueError:
        logging.getLogger("ray").exception("number %s", 989121234567)
    first, second = log_lines()
    assert "Leila" not in first + second
    assert "12123456" not in first + second
    assert json.loads(first)["logger"] == "asyncio"
    assert json.loads(first)["level"] == "error"
    assert json.loads(second)["logger"] == "ray"
    assert "ValueError" in json.loads(second)["exception"]


async def test_a_trace_id_bound_to_a_request_is_in_its_lines_alone(
    log_lines: Callable[[], list[str]],
) -> None:
    async def request(trace_id: str) -> None:
        structlog.contextvars.bind_contextvars(trace_id=trace_id)
        await asyncio.sleep(0)
        structlog.get_logger().info("accrued", till=trace_id)

    await asyncio.gather(request("a"), request("b"))
    records = [json.loads(line) for line in log_lines()]
    assert sorted(record["trace_id"] for record in records) == ["a", "b"]
    assert all(record["trace_id"] == record["till"] for record in records)


def test_lines_below_the_level_are_not_written(log_lines: Callable[[], list[str]]) -> None:
    configure_logging("error", "json")
    structlog.get_logger().warning("quiet")
    structlog.get_logger().error("loud")
    assert [json.loads(line)["event"] for line in log_lines()] == ["loud"]


def test_the_console_form_masks_the_same(log_lines: Callable[[], list[str]]) -> None:
    configure_logging("info", "console")
    structlog.get_logger().info("enrolled", phone="+989121234567", shard=2)
    [line] = log_lines()
    assert "enrolled" in line
    assert "9121234567" not in line
    assert "shard=2" in line


def test_text_from_outside_cannot_forge_a_line_or_command_a_terminal(
    log_lines: Callable[[], list[str]],
) -> None:
    structlog.get_logger().info("odd", note="\x1b[2J\n{forged line}")
    [line] = log_lines()
    assert "\x1b" not in line


@pytest.mark.usefixtures("log_lines")
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_log_on_a_full_disk_takes_no_lines_and_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    configure_logging("info", form)
    with Path("/dev/full").open("w", buffering=1) as full:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", full)
            structlog.get_logger().warning("shard_gone")
            logging.getLogger("library").error("no room")
        with contextlib.suppress(OSError):  # what is left in its buffer
            full.close()
    structlog.get_logger().warning("there_is_room")
    assert "there_is_room" in capsys.readouterr().err


def test_no_line_that_the_node_writes_has_a_key_whose_value_would_be_masked(
    log_lines: Callable[[], list[str]],
) -> None:
    keys = {
        keyword.arg
        for folder in ("node", "cards")
        for file in (Path(__file__).parents[1] / folder).rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("info", "warning", "error", "exception")
        for keyword in call.keywords
        if keyword.arg
    }
    assert {"partner", "status", "shard"} <= keys
    structlog.get_logger().info("all", **dict.fromkeys(keys - {"exc_info"}, 1))
    [line] = log_lines()
    assert {key for key, value in json.loads(line).items() if key in keys and value != 1} == set()
