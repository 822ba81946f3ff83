"""Telemetry: figures add up across processes, logs hold no personal data, one trace id follows a request."""

import asyncio
import json
import logging
import pickle
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

import msgspec
import prometheus_client
import pytest
import structlog

from node import telemetry
from node.config import ConfigError
from node.telemetry import (
    ACTIVATIONS,
    BATCH_COMMANDS,
    FSYNC_SECONDS,
    QUEUE_DEPTH,
    REFUSALS,
    REQUEST_SECONDS,
    REQUESTS,
    Exporter,
    Figures,
    MetricsServer,
    configure_logging,
    new_trace_id,
    trace_id_from,
)


def sample(exporter: Exporter, name: str, **labels: str) -> float | None:
    registry = prometheus_client.CollectorRegistry()
    registry.register(exporter)
    return registry.get_sample_value(name, labels)


# --- figures ---------------------------------------------------------------------------------------------


def test_what_the_gateway_counts_is_shown_with_its_labels() -> None:
    figures = Figures()
    accrue = figures.count(REQUESTS, "Accrue", "OK")
    accrue.add()
    figures.count(REQUESTS, "Accrue", "OK").add(2)
    figures.count(REQUESTS, "Accrue", "UNAVAILABLE").add()
    figures.count(QUEUE_DEPTH, "3").set(7)
    figures.count(QUEUE_DEPTH, "3").set(5)
    exporter = Exporter(figures)
    assert sample(exporter, "vafa_requests_total", method="Accrue", outcome="OK") == 3
    assert sample(exporter, "vafa_requests_total", method="Accrue", outcome="UNAVAILABLE") == 1
    assert sample(exporter, "vafa_queue_depth", shard="3") == 5


def test_a_histogram_counts_each_value_at_or_below_its_bounds() -> None:
    figures = Figures()
    seconds = figures.distribution(REQUEST_SECONDS, "Accrue")
    for value in (0.0, 0.001, 0.0011, 5.0, 99.0):
        seconds.observe(value)
    exporter = Exporter(figures)

    def at_most(bound: str) -> float | None:
        return sample(exporter, "vafa_request_seconds_bucket", method="Accrue", le=bound)

    assert [at_most(bound) for bound in ("0.0005", "0.001", "0.0025", "10.0", "+Inf")] == [1, 2, 3, 4, 5]
    assert sample(exporter, "vafa_request_seconds_count", method="Accrue") == 5
    assert sample(exporter, "vafa_request_seconds_sum", method="Accrue") == pytest.approx(104.0021)


def test_a_shards_figures_travel_as_plain_data_and_appear_under_its_name() -> None:
    exporter = Exporter(Figures())
    for name, batches in (("0", 3), ("1", 1)):
        shard = Figures(shard=name)
        for _ in range(batches):
            shard.distribution(BATCH_COMMANDS).observe(100)
            shard.count(ACTIVATIONS).add(10)
        exporter.put(name, pickle.loads(pickle.dumps(shard.snapshot())))
    assert sample(exporter, "vafa_batch_commands_count", shard="0") == 3
    assert sample(exporter, "vafa_batch_commands_count", shard="1") == 1
    assert sample(exporter, "vafa_activations_total", shard="0") == 30
    assert (sample(exporter, "vafa_resident_bytes", shard="0") or 0) > 1_000_000


def test_a_snapshot_survives_msgpack_as_it_does_pickle() -> None:
    shard = Figures(shard="0")
    shard.distribution(FSYNC_SECONDS).observe(0.002)
    shard.count(ACTIVATIONS).add()
    exporter = Exporter()
    exporter.put("0", msgspec.msgpack.decode(msgspec.msgpack.encode(shard.snapshot())))
    assert sample(exporter, "vafa_fsync_seconds_count", shard="0") == 1


def test_a_snapshot_that_arrives_twice_or_late_counts_once() -> None:
    shard = Figures(shard="0")
    exporter = Exporter()
    shard.count(ACTIVATIONS).add()
    first = shard.snapshot()
    shard.count(ACTIVATIONS).add()
    for snapshot in (first, shard.snapshot(), shard.snapshot()):
        exporter.put("0", snapshot)
    assert sample(exporter, "vafa_activations_total", shard="0") == 2
    assert first["vafa_activations_total"] == [(("0",), 1.0)]


def test_a_shard_shows_what_it_says_of_refusals_without_its_name() -> None:
    gateway, shard = Figures(), Figures(shard="0")
    gateway.count(REFUSALS, "QUEUE_FULL").add()
    shard.count(REFUSALS, "INSUFFICIENT_POINTS").add()
    exporter = Exporter(gateway)
    exporter.put("0", shard.snapshot())
    assert sample(exporter, "vafa_refusals_total", reason="QUEUE_FULL") == 1
    assert sample(exporter, "vafa_refusals_total", reason="INSUFFICIENT_POINTS") == 1


def test_invented_label_values_cannot_grow_the_figures_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "MAX_SERIES_PER_METRIC", 3)
    figures = Figures()
    for number in range(100):
        figures.count(REQUESTS, f"Method{number}", "OK").add()
        figures.distribution(REQUEST_SECONDS, f"Method{number}").observe(1)
    snapshot = figures.snapshot()
    assert len(snapshot["vafa_requests_total"]) == 4
    assert (("other", "other"), 97.0) in snapshot["vafa_requests_total"]
    assert len(snapshot["vafa_request_seconds"]) == 4


def test_the_wrong_number_of_labels_is_a_fault_at_once() -> None:
    for figures in (Figures(), Figures(shard="0")):
        with pytest.raises(ValueError, match="takes the labels"):
            figures.count(REQUESTS, "Accrue")
    with pytest.raises(ValueError, match="takes the labels"):
        Figures(shard="0").distribution(FSYNC_SECONDS, "0")
    with pytest.raises(ValueError, match="takes the labels"):
        Figures().distribution(FSYNC_SECONDS)


def test_a_snapshot_stays_as_it_was_taken() -> None:
    figures = Figures()
    seconds = figures.distribution(REQUEST_SECONDS, "Accrue")
    seconds.observe(0.002)
    taken = figures.snapshot()
    before = repr(taken)
    seconds.observe(0.002)
    assert repr(taken) == before


def test_figures_can_be_read_while_another_thread_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "MAX_SERIES_PER_METRIC", 10_000)
    figures = Figures()

    def count() -> None:
        for number in range(2_000):
            figures.count(REQUESTS, f"Method{number}", "OK").add()

    writer = threading.Thread(target=count)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        writer.start()
        while writer.is_alive():
            figures.snapshot()
    finally:
        writer.join()
        sys.setswitchinterval(interval)
    assert len(figures.snapshot()["vafa_requests_total"]) == 2_000


def test_metrics_are_served_over_http_until_closed() -> None:
    figures = Figures()
    figures.count(REQUESTS, "Accrue", "OK").add()
    server = MetricsServer(Exporter(figures), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    assert 'vafa_requests_total{method="Accrue",outcome="OK"} 1.0' in text
    assert "# TYPE vafa_fsync_seconds histogram" in text
    assert "process_resident_memory_bytes" in text
    server.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=10)


# --- trace ids -------------------------------------------------------------------------------------------

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    "traceparent",
    [
        f"00-{TRACE}-00f067aa0ba902b7-01",
        f"01-{TRACE}-00f067aa0ba902b7-01",
        f"cc-{TRACE}-00f067aa0ba902b7-01-what-comes",
    ],
)
def test_the_trace_id_of_the_till_is_kept(traceparent: str) -> None:
    assert trace_id_from(traceparent) == TRACE


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        TRACE,
        f"00-{TRACE}-00f067aa0ba902b7",
        f"00-{TRACE}-00f067aa0ba902b7-01-more",
        f"00-{TRACE}-00f067aa0ba902b7-01\n",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}۷-00f067aa0ba902b7-01",
        "x" * 100_000,
    ],
)
def test_without_a_good_one_a_new_trace_id_is_made(traceparent: str | None) -> None:
    made = trace_id_from(traceparent)
    assert made != TRACE
    assert len(made) == 32
    assert int(made, 16) > 0
    assert made != trace_id_from(traceparent) != new_trace_id()


# --- logs ------------------------------------------------------------------------------------------------


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
    assert "test_telemetry.py" in trace
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
