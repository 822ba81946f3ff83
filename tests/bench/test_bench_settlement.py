"""The settlement bench measures what it says, at a size that a test can wait for."""

import json
from pathlib import Path

import pytest

from bench import settlement
from bench.settlement import growth_of
from bench.settlement_run import Scale


@pytest.mark.slow
def test_a_small_window_is_closed_netted_and_verified_and_its_figures_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settlement, "growth_of", lambda full: list(growth_of(full))[::6])
    file = tmp_path / "figures.json"
    sizes = ["--records", "20000", "--merchants", "6", "--lanes", "2", "--sample", "300", "--rounds", "1"]
    assert settlement.main([*sizes, "--json", str(file), "--folder", str(tmp_path)]) == 0
    figures = json.loads(file.read_text("utf-8"))
    window = figures["windows"]["full"]
    assert sum(phase["done"] for phase in window["close"]) == 20_000
    assert window["collect"]["done"] == 6 * 5
    assert window["audit"]["done"] == 6 + 1  # a net for each merchant and the operator
    assert figures["signatures"]["signatures"] == 300
    assert all(0 < own < bare for bare, own in figures["recompute"])
    assert "Goals" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [file]  # ten million records are not left behind


def test_the_records_are_shared_out_whole_and_each_once() -> None:
    scale = Scale(merchants=5, lanes=3, records=1_001)
    for workers in (1, 2, 4):
        lanes = [one for worker in range(workers) for one in scale.lanes_of(worker, workers)]
        assert len({lane[:3] for lane in lanes}) == len(lanes) == 5 * 4 * 3
        assert sum(count for *_, count in lanes) == 1_001
        assert max(count for *_, count in lanes) - min(count for *_, count in lanes) <= 1


def test_growth_is_told_of_one_thing_at_a_time() -> None:
    sizes = dict(growth_of(Scale(200, 4, 10_000_000)))
    base = sizes.pop("base")
    for name, scale in sizes.items():
        changed = [
            field
            for field in ("merchants", "lanes", "records")
            if getattr(scale, field) != getattr(base, field)
        ]
        assert changed == [name.split()[0]]
