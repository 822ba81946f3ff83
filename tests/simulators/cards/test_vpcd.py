"""A virtual card speaks vpcd's protocol with whoever drives the virtual reader; here a driver in
miniature.
"""

import socket
import time
from collections.abc import Iterator

import pytest

from simulators.cards.card import seeded
from simulators.cards.shelf import AnyCard, Profile, new_card
from simulators.cards.vpcd import ReaderAbsent, Seat

SELECT = bytes.fromhex("00A4040C07D276000085010100")


class Driver:
    """The other end: it waits for a card and commands it, length and body in two packets as vpcd does."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def take(self) -> None:
        self.card, _ = self._listener.accept()
        self.card.settimeout(10)

    def send(self, message: bytes) -> None:
        self.card.sendall(len(message).to_bytes(2, "big"))
        self.card.sendall(message)

    def receive(self) -> bytes:
        size = int.from_bytes(self._exactly(2), "big")
        return self._exactly(size)

    def ask(self, message: bytes) -> bytes:
        self.send(message)
        return self.receive()

    def gone(self) -> bool:
        return self.card.recv(1) == b""

    def _exactly(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            piece = self.card.recv(size - len(read))
            assert piece, "the card hung up"
            read += piece
        return read

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.close()


def put(driver: Driver, card: AnyCard) -> Seat:
    seat = Seat(driver.port)
    seat.put(card)
    driver.take()
    return seat


def test_power_atr_and_commands(driver: Driver) -> None:
    card = new_card(Profile.NTAG424, seeded(1))
    seat = put(driver, card)

    assert driver.ask(b"\x04") == card.atr
    driver.send(b"\x01")
    assert driver.ask(SELECT) == b"\x90\x00"
    driver.send(b"\x02")
    assert driver.ask(bytes.fromhex("90640000010000")) == b"\x91\x40", "a reset deselects"
    driver.card.close()
    seat.wait()
    assert not card.powered


def test_a_torn_card_hangs_up_without_an_answer_and_keeps_what_it_did(driver: Driver) -> None:
    card = new_card(Profile.NTAG424, seeded(1))
    kept: list[int] = []
    seat = Seat(driver.port)
    seat.put(card, after_command=lambda: kept.append(card.commands_seen))
    driver.take()
    driver.send(b"\x01")
    driver.ask(SELECT)
    card.tear_at(1, takes_effect=True)

    driver.send(SELECT)
    assert driver.gone()
    seat.wait()
    assert kept == [1, 2]


def test_a_card_taken_off_hangs_up(driver: Driver) -> None:
    seat = put(driver, new_card(Profile.DESFIRE, seeded(1)))

    seat.take_off()
    assert driver.gone()


def test_commands_are_not_held_up_by_late_acknowledgements(driver: Driver) -> None:
    seat = put(driver, new_card(Profile.NTAG424, seeded(1)))
    driver.send(b"\x01")
    driver.ask(SELECT)

    start = time.monotonic()
    for _ in range(100):
        driver.ask(bytes.fromhex("90640000010000"))
    assert time.monotonic() - start < 2, "40 ms a command would be 4 s"
    seat.take_off()


def test_without_a_reader_it_says_what_to_install(driver: Driver) -> None:
    driver.close()

    with pytest.raises(ReaderAbsent, match="vsmartcard-vpcd"):
        Seat(driver.port).put(new_card(Profile.NTAG424, seeded(1)))
