"""What the node tells the people who run it: logs without personal data, figures for Prometheus, trace ids.

Shards are other processes, which nobody scrapes. So every process counts in a plain `Figures`; a shard's
`snapshot` travels to the gateway, and the gateway's `Exporter` shows its own figures and the latest of each
shard under one address. Counting costs well under a microsecond and takes no lock: one thread writes a
`Figures`, any may read it.
"""

import json
import logging
import os
import re
import sys
import traceback
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import prometheus_client
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as PrometheusMetric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from structlog.typing import EventDict, Processor

MAX_SERIES_PER_METRIC = 1024
"""Combinations of label values that one process counts apart; later ones are counted together as `other`."""

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_SIZES = tuple(float(2**power) for power in range(11))


# --- figures ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is counted, with its labels; `bounds` are a histogram's upper bounds, inclusive."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


_BY_NAME: dict[str, Metric] = {}


def _counter(name: str, text: str, *labels: str) -> Metric:
    return _BY_NAME.setdefault(name, Metric(name, "counter", text, labels))


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return _BY_NAME.setdefault(name, Metric(name, "gauge", text, labels))


def _histogram(name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Metric:
    return _BY_NAME.setdefault(name, Metric(name, "histogram", text, labels, bounds))


REQUESTS = _counter("vafa_requests_total", "Calls answered.", "method", "outcome")
REQUEST_SECONDS = _histogram("vafa_request_seconds", "Time to answer a call.", _SECONDS, "method")
REFUSALS = _counter("vafa_refusals_total", "Commands refused.", "reason")
QUEUE_DEPTH = _gauge("vafa_queue_depth", "Commands waiting for a shard.", "shard")
BATCH_COMMANDS = _histogram("vafa_batch_commands", "Commands in one batch.", _SIZES, "shard")
DECIDE_SECONDS = _histogram("vafa_decide_seconds", "Time to decide one batch.", _SECONDS, "shard")
FSYNC_SECONDS = _histogram("vafa_fsync_seconds", "Time to sync one batch.", _SECONDS, "shard")
HEAD_LAG_SECONDS = _gauge("vafa_head_lag_seconds", "Age of the oldest batch beyond the head file.", "shard")
CACHED_ACCOUNTS = _gauge("vafa_cached_accounts", "Accounts active in memory.", "shard")
ACTIVATIONS = _counter("vafa_activations_total", "Accounts read into memory.", "shard")
PASSIVATIONS = _counter("vafa_passivations_total", "Accounts let go from memory.", "shard")
QUARANTINED = _gauge("vafa_quarantined_accounts", "Accounts set aside after a fault.", "shard")
FEED_LAG = _gauge("vafa_feed_lag_entries", "Journal entries that a reader has yet to take.", "reader")
RESIDENT_BYTES = _gauge("vafa_resident_bytes", "Memory of a shard's process.", "shard")

Snapshot = dict[str, list[tuple[tuple[str, ...], float | tuple[list[int], float]]]]
"""Plain figures of one process: by metric's name, (label values, value or (counts by bound, sum))."""


class Count:
    """One series of a counter (only `add`) or a gauge (also `set`)."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float = 1) -> None:
        """Add to it."""
        self.value += amount

    def set(self, value: float) -> None:
        """Say what it is now."""
        self.value = value


class Distribution:
    """One series of a histogram."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value, in the metric's unit."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Figures:
    """What one process counts. A shard's name stands in for the label `shard` of everything it counts."""

    def __init__(self, shard: str = "") -> None:
        self._shard = shard
        self._counts: dict[tuple[str, tuple[str, ...]], Count] = {}
        self._distributions: dict[tuple[str, tuple[str, ...]], Distribution] = {}

    def count(self, metric: Metric, *labels: str) -> Count:
        """The series of a counter or gauge with these label values; keep it where the labels are fixed."""
        found = self._counts.get((metric.name, labels))
        if found is None:
            found = self._counts.setdefault(
                (metric.name, self._bounded(self._counts, metric, labels)), Count()
            )
        return found

    def distribution(self, metric: Metric, *labels: str) -> Distribution:
        """The series of a histogram with these label values; keep it where the labels are fixed."""
        found = self._distributions.get((metric.name, labels))
        if found is None:
            key = (metric.name, self._bounded(self._distributions, metric, labels))
            found = self._distributions.setdefault(key, Distribution(metric.bounds))
        return found

    def snapshot(self) -> Snapshot:
        """Everything counted since the process began, as plain data to send or to show."""
        figures: Snapshot = {}
        # list() of a dictionary is one step for the interpreter: the writing thread cannot come between.
        for (name, labels), count in list(self._counts.items()):
            figures.setdefault(name, []).append((self._full(name, labels), count.value))
        for (name, labels), spread in list(self._distributions.items()):
            figures.setdefault(name, []).append(
                (self._full(name, labels), (list(spread.counts), spread.total))
            )
        if self._shard:
            figures[RESIDENT_BYTES.name] = [((self._shard,), _resident_bytes())]
        return figures

    def _bounded(
        self, series: Mapping[tuple[str, tuple[str, ...]], object], metric: Metric, labels: tuple[str, ...]
    ) -> tuple[str, ...]:
        if len(self._full(metric.name, labels)) != len(metric.labels):
            raise ValueError(f"{metric.name} takes the labels {metric.labels}")
        if sum(name == metric.name for name, _ in series) >= MAX_SERIES_PER_METRIC:
            return ("other",) * len(labels)
        return labels

    def _full(self, name: str, labels: tuple[str, ...]) -> tuple[str, ...]:
        return (self._shard, *labels) if self._shard and _BY_NAME[name].labels[:1] == ("shard",) else labels


class Exporter(Collector):
    """Shows Prometheus the figures of this process and the latest snapshot of every shard."""

    def __init__(self, *own: Figures) -> None:
        self._own = own
        self._shards: dict[str, Snapshot] = {}

    def put(self, shard: str, snapshot: Snapshot) -> None:
        """Replace what is shown for a shard. Snapshots hold totals: a lost or repeated one does no harm."""
        self._shards[shard] = snapshot

    def collect(self) -> Iterator[PrometheusMetric]:
        """Called by prometheus_client for each scrape, on a thread of its own."""
        snapshots = [*(figures.snapshot() for figures in self._own), *list(self._shards.values())]
        for metric in _BY_NAME.values():
            rows = [row for snapshot in snapshots for row in snapshot.get(metric.name, ())]
            yield _family(metric, rows)


class MetricsServer:
    """Serves an exporter's figures, and this process's own memory, files and time, until `close`.

    `port` is the one that was taken, where 0 was asked for. Plain HTTP: `node.config` allows loopback alone.
    """

    def __init__(self, exporter: Exporter, host: str, port: int) -> None:
        registry = prometheus_client.CollectorRegistry(auto_describe=False)
        registry.register(exporter)
        prometheus_client.ProcessCollector(registry=registry)
        prometheus_client.PlatformCollector(registry=registry)
        self._server, self._thread = prometheus_client.start_http_server(port, host, registry)
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stop serving and free the port; returns when both are done."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _family(
    metric: Metric, rows: list[tuple[tuple[str, ...], float | tuple[list[int], float]]]
) -> PrometheusMetric:
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
        bounds = [*map(floatToGoString, metric.bounds), "+Inf"]
        for labels, spread in rows:
            assert isinstance(spread, tuple | list)
            counts, total = spread
            histogram.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.text, labels=metric.labels)
    for labels, value in rows:
        assert isinstance(value, int | float)
        family.add_metric(labels, value)
    return family


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0  # not Linux; only this figure is missing
    return pages * os.sysconf("SC_PAGE_SIZE")


# --- trace ids -------------------------------------------------------------------------------------------

_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)


def new_trace_id() -> str:
    """32 random hex digits, by which one request can be followed from the till to the journal."""
    return os.urandom(16).hex()


def trace_id_from(traceparent: str | None) -> str:
    """The trace id in a caller's `traceparent` metadata; a new one when there is none or it is malformed.

    W3C Trace Context, section 3.2: version 00 ends after the flags, a later one may go on.
    """
    matched = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if matched is None or (matched[1] == "00" and matched[3]):
        return new_trace_id()
    return matched[2]


# --- logs ------------------------------------------------------------------------------------------------

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
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = _LibraryHandler()
    without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[_mask_library, without_meta, *steps])
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


class _LibraryHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            # What sys.stderr is now, as for our own lines: it may have been redirected since.
            sys.stderr.write(self.format(record) + "\n")
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
