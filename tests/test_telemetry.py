"""Telemetry: figures add up across processes, logs hold no personal data, one trace id follows a request."""

import pickle
import sys
import threading
import urllib.error
import urllib.request

import msgspec
import prometheus_client
import pytest

from node import telemetry
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
