"""The secure channel as a processor among processors."""

from cards.apdu import Command, Processor, Response
from cards.scp03.handshake import Greeting, external_authenticate, initialize_update, parse_greeting
from cards.scp03.kdf import StaticKeys
from cards.scp03.level import SecurityLevel
from cards.scp03.session import ChannelBroken, Session, unwrap, wrap


def initialize(card: Processor, host_challenge: bytes, *, key_version: int = 0, key_id: int = 0) -> Greeting:
    """Ask the card for its part of a session; `CardRefused` (6A88) if it has no key set of that version.

    `host_challenge` is fresh chance, 8 bytes for mode S8 and 16 for S16. No try is counted by the card.
    """
    command = initialize_update(host_challenge, key_version, key_id)
    return parse_greeting(host_challenge, card.send(command).expect(command.title))


def open_channel(
    card: Processor, greeting: Greeting, keys: StaticKeys, level: SecurityLevel
) -> "SecureChannel":
    """Authenticate, and give the channel. `CardNotAuthentic` before anything is sent if the keys are not the
    card's.
    """
    session, command = external_authenticate(greeting, keys, level)
    card.send(command).expect(command.title)
    return SecureChannel(card, session)


class SecureChannel:
    """Protects every command and checks every answer. After a fault it sends nothing more: open another."""

    def __init__(self, inner: Processor, session: Session) -> None:
        self._inner = inner
        self._session: Session | None = session

    @property
    def is_open(self) -> bool:
        """Whether commands still pass."""
        return self._session is not None

    def send(self, command: Command) -> Response:
        if self._session is None:
            raise ChannelBroken("The secure channel is over. Nothing was sent; open another.")
        session, protected = wrap(self._session, command)
        # Until a good answer is in, whether the card counted the command is unknown, and so no next MAC is
        # right.
        self._session = None
        response = unwrap(session, self._inner.send(protected))
        self._session = session
        return response
