"""What the node tells the people who run it in numbers: figures for Prometheus, and trace ids.

Shards are other processes, which nobody scrapes. So every process counts in a plain `Figures`; a shard's
`snapshot` travels to the gateway, and the gateway's `Exporter` shows its own figures and the latest of each
shard under one address. Counting costs well under a microsecond and takes no lock: one thread writes a
`Figures`, any may read it.
"""

import os
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Literal

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as PrometheusMetric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

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
CAP_ALERTS = _counter(
    "vafa_cap_alerts_total", "Times that what is owed came near a bilateral cap.", "partner", "percent"
)
CAP_USED = _gauge(
    "vafa_cap_used_ratio",
    "How much of a bilateral cap is used, holds and what is queued included.",
    "partner",
    "debtor",
)
LANES_SHUT = _gauge("vafa_lanes_shut", "Lanes that wait for HELLO, or for missing records.", "partner")
LANES_ASIDE = _gauge("vafa_lanes_set_aside", "Lanes on which both sides' words contradict.", "partner")
EXCHANGES_WAITING = _gauge("vafa_exchanges_waiting", "What the partner has yet to answer.", "partner")
EXCHANGES_OLDEST = _gauge(
    "vafa_exchanges_oldest_seconds", "How long the oldest of them has waited; 0 for none.", "partner"
)
PEER_CLOCK_AHEAD = _gauge(
    "vafa_peer_clock_ahead_seconds", "The partner's clock less ours, at least.", "partner"
)
PEER_CONNECTED = _gauge("vafa_peer_connected", "Whether a connection with the partner stands.", "partner")
PEER_DIALS = _counter("vafa_peer_dials_total", "Times that the partner was dialled.", "partner", "outcome")
PEER_MESSAGES = _counter("vafa_peer_messages_total", "Messages of links.", "partner", "direction")
PEER_FAULTS = _counter("vafa_peer_faults_total", "Frames or messages that could not be used.", "partner")
PEER_REFUSED = _counter("vafa_peer_refused_total", "Messages and calls refused.", "partner", "reason")

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
