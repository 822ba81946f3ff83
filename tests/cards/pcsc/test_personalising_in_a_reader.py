"""Whole cards are made through a real reader: the bureau's own steps over pcscd, also after a tear."""

from contextlib import ExitStack
from random import Random
from typing import Any

import pytest

from cards.apdu import CardLost, card_chain
from cards.pcsc import Reader
from cards.profiles.steps import Accepted, StepEvent, run_steps
from simulators.cards.stack import READER_NAME
from simulators.cards.vpcd import Seat
from tests.cards.bureau import KINDS, Kind

NAME = f"{READER_NAME} 00 00"
WAIT_SECONDS = 20


def visited(reader: Reader, kind: Kind, scope: ExitStack, seed: int) -> Any:
    """The card on the reader, as the bureau's steps want it."""
    assert reader.wait_for_card(WAIT_SECONDS)
    return kind.visit(card_chain(scope.enter_context(reader.card())), Random(seed).randbytes)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_card_torn_off_the_reader_is_finished_when_it_lies_there_again(seat: Seat, kind: Kind) -> None:
    card, plan = kind.blank(kind.uid), kind.plan()
    journal: list[StepEvent] = []
    seat.put(card)
    with Reader(NAME) as reader:
        card.tear_at(12, takes_effect=True)
        with ExitStack() as scope, pytest.raises(CardLost):
            run_steps(visited(reader, kind, scope, 1), kind.module.personalise(plan), journal.append)
        assert reader.wait_for_removal(WAIT_SECONDS)

        seat.put(card)
        with ExitStack() as scope:
            run_steps(visited(reader, kind, scope, 2), kind.module.personalise(plan), journal.append)
        with ExitStack() as scope:
            assert isinstance(kind.module.read_back(visited(reader, kind, scope, 3), plan), Accepted)
