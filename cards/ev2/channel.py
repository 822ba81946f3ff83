"""EV2 over a processor: authenticate, then command after command."""

from cards.apdu import Command, Processor, StatusWord
from cards.crypto import CardKey
from cards.ev2.change_key import change_key, change_session_key
from cards.ev2.handshake import (
    answer_challenge,
    finish_first,
    finish_non_first,
    start_first,
    start_non_first,
)
from cards.ev2.messaging import CommMode, MessagingBroken, unwrap, wrap
from cards.ev2.session import Session


def authenticate_first(card: Processor, key: CardKey, key_number: int, rnd_a: bytes) -> "Ev2Channel":
    """Open a transaction. `CardRefused` (91AE, and 91AD while the card makes us wait) if the key is not the
    card's.

    Each wrong try counts on the card, and many of them slow it down and at last block the key for good.
    """
    challenge, second = answer_challenge(
        key, key_number, rnd_a, _encrypted_challenge(card, start_first(key_number))
    )
    return Ev2Channel(card, finish_first(challenge, card.send(second).expect(second.title)))


def authenticate_non_first(
    channel: "Ev2Channel", key: CardKey, key_number: int, rnd_a: bytes
) -> "Ev2Channel":
    """Go on under another key in the same transaction; `channel` is over, whatever comes of it."""
    card, before = channel.give_up()
    start = start_non_first(key_number)
    challenge, second = answer_challenge(key, key_number, rnd_a, _encrypted_challenge(card, start))
    return Ev2Channel(card, finish_non_first(challenge, card.send(second).expect(second.title), before))


def _encrypted_challenge(card: Processor, start: Command) -> bytes:
    return card.send(start).expect(start.title, StatusWord.DF_ADDITIONAL_FRAME)


class Ev2Channel:
    """Sends commands in the mode that each of them has. After any refusal or fault it is over, as the card's
    is.
    """

    def __init__(self, card: Processor, session: Session) -> None:
        self._card = card
        self._session: Session | None = session

    @property
    def is_open(self) -> bool:
        """Whether commands still pass."""
        return self._session is not None

    def give_up(self) -> tuple[Processor, Session]:
        """Hand over the card and the session; this channel is over."""
        return self._card, self._taken()

    def call(self, command: Command, header_bytes: int, mode: CommMode) -> bytes:
        """The answer's data to a native command, in the clear; `CardRefused`, `MessagingBroken` or
        `CardLost`.
        """
        protected = wrap(self._current(), command, header_bytes, mode)
        session = self._taken()
        answer = self._card.send(protected)
        self._session, data = unwrap(session, answer, mode, title=command.title)
        return data

    def change_key(self, key_number: int, old: CardKey, new: CardKey, version: int) -> None:
        """Change a key other than the session's own."""
        self.call(change_key(key_number, old, new, version), 1, CommMode.FULL)

    def change_own_key(self, new: CardKey, version: int, *, number_on_card: int | None = None) -> None:
        """Change the key that opened the session, which ends it: authenticate again.

        `number_on_card` is the key's number where ChangeKey wants more than the number (DESFire's key type
        bits).
        """
        session = self._taken()
        number = session.key_number if number_on_card is None else number_on_card
        command = change_session_key(number, new, version)
        # The session is gone before the card could sign: the answer is a bare 9100.
        self._card.send(wrap(session, command, 1, CommMode.FULL)).expect(command.title)

    def _taken(self) -> Session:
        """The session, which is put back only by a good answer: until then the card's own counter is
        unknown.
        """
        session = self._current()
        self._session = None
        return session

    def _current(self) -> Session:
        if self._session is None:
            raise MessagingBroken("The session is over. Nothing was sent; authenticate again.")
        return self._session
