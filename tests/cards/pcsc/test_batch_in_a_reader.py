"""A batch through a real reader: cards are put on, torn off, put back; the reader's service is restarted."""

from __future__ import annotations

from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from cards.cli import place as place_module
from cards.cli.place import ReaderPlace, reader_place
from cards.jobs import CardOutcome, JobBook, Result, Runner, audit_job
from cards.pcsc import Reader, ReaderAbsent, reader_names
from simulators.cards.stack import READER_NAME, PcscStack
from simulators.cards.vpcd import Seat
from tests.cards.bureau import KINDS, NTAG, Kind
from tests.cards.jobs.batch import AnyCard, Batch, a_batch, blank_cards

NAME = f"{READER_NAME} 00 00"


def run(batch: Batch, place: ReaderPlace, seat: Seat, next_card: list[AnyCard]) -> list[CardOutcome]:
    """The job, with a hand that takes each card off when it is done and puts the next one on."""
    outcomes: list[CardOutcome] = []

    def hand(outcome: CardOutcome) -> None:
        outcomes.append(outcome)
        seat.take_off()
        place.wait_for_removal()
        if next_card:
            seat.put(next_card.pop(0))

    with JobBook(batch.directory / "work", batch.job, lambda: next(batch.ticks)) as book:
        runner = Runner(
            book, batch.keys, place, random_bytes=Random(1).randbytes, now_ms=lambda: next(batch.ticks)
        )
        while book.wants_cards and place.wait_for_card():
            hand(runner.make_one())
    return outcomes


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_batch_is_made_on_a_reader_also_of_a_card_that_was_torn_off(
    seat: Seat, tmp_path: Path, kind: Kind
) -> None:
    batch = a_batch(tmp_path, kind, cards=2)
    one, two = blank_cards(kind, 2)
    one.tear_at(20, takes_effect=True)
    seat.put(one)
    with Reader(NAME) as reader:
        outcomes = run(batch, ReaderPlace(reader, print), seat, [one, two])

    assert [outcome.result for outcome in outcomes] == [Result.INTERRUPTED, *[Result.FINISHED] * 2]
    assert audit_job(tmp_path / "work", batch.job).finished == 2


def test_a_service_that_stops_is_waited_for_and_the_batch_goes_on(
    seat: Seat, stack: PcscStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def back(_: float) -> None:
        if not stack.running:
            stack.start()
            seat.put(card)

    monkeypatch.setattr(place_module, "time", SimpleNamespace(sleep=back))
    batch = a_batch(tmp_path, NTAG)
    (card,) = blank_cards(NTAG, 1)
    with Reader(NAME) as reader:
        stack.stop()
        outcomes = run(batch, ReaderPlace(reader, said.append), seat, [])
    assert [outcome.result for outcome in outcomes] == [Result.FINISHED]
    assert len(said) == 1
    assert "pcscd" in said[0]


def test_the_only_reader_needs_no_name(stack: PcscStack) -> None:
    """vpcd gives two readers, so here a name is needed, and both are told."""
    if len(reader_names()) > 1:
        with pytest.raises(ReaderAbsent, match="--reader"), reader_place("", print):
            pass
    with reader_place(NAME, print) as place:
        assert isinstance(place, ReaderPlace)
