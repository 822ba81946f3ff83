"""A virtual card can be torn off at any command, before or after that took effect, and is a real card
after.
"""

import pytest

from cards.apdu import CardLost
from simulators.cards.card import CardAbsent, CardTorn, seeded
from simulators.cards.ntag424.card import Ntag424
from simulators.cards.ntag424.memory import blank

SELECT = bytes.fromhex("00A4040C07D276000085010100")
WRITE = bytes.fromhex("908D00000902000000020000414200")
READ = bytes.fromhex("90AD000007020000000200000000"[:-2])


def blank_card() -> Ntag424:
    card = Ntag424(blank(bytes.fromhex("04A1B2C3D4E580")), seeded(1))
    card.tap()
    return card


@pytest.mark.parametrize("takes_effect", [True, False])
def test_a_torn_command_happened_or_did_not(takes_effect: bool) -> None:
    card = blank_card()
    card.tear_at(2, takes_effect=takes_effect)
    card.transmit(SELECT)

    with pytest.raises(CardTorn):
        card.transmit(WRITE)
    with pytest.raises(CardAbsent):
        card.transmit(READ)
    card.tap()
    card.transmit(SELECT)
    assert card.transmit(READ) == (b"AB" if takes_effect else b"\0\0") + b"\x91\x00"


def test_a_torn_card_has_forgotten_its_session() -> None:
    card = blank_card()
    card.transmit(SELECT)
    card.tear_at(1, takes_effect=True)
    with pytest.raises(CardTorn):
        card.transmit(bytes.fromhex("9071000002000000"))

    card.tap()
    assert card.transmit(bytes.fromhex("90AF000000")) == b"\x91\x1c"


def test_a_tear_happens_once_and_can_be_called_off() -> None:
    card = blank_card()
    card.tear_at(1, takes_effect=False)
    card.keep_whole()

    assert card.transmit(SELECT) == b"\x90\x00"
    with pytest.raises(ValueError, match="number 1"):
        card.tear_at(0, takes_effect=True)


def test_a_host_meets_a_torn_card_as_a_lost_one() -> None:
    card = blank_card()
    card.power_off()

    with pytest.raises(CardLost):
        card.transmit(SELECT)


def test_what_is_no_command_is_answered_all_the_same() -> None:
    card = blank_card()

    assert card.transmit(b"\x00\xa4") == b"\x67\x00"
    assert card.transmit(bytes.fromhex("F0A4000000")) == b"\x6e\x00"
