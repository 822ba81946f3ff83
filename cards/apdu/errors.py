"""What goes wrong between host and card. No message of these shows data of a command or of an answer."""

from cards.apdu.status import status_in_words


class CardError(Exception):
    """The root of every fault with a card, so that a job can stop one card and take the next."""


class ApduMalformed(CardError):
    """Bytes that are no command or answer by ISO/IEC 7816-4, or a command that cannot be put into bytes."""


class CardLost(CardError):
    """The card or its reader went away while a command was under way: whether it took effect is unknown.

    Transports raise it. Who meets it probes the card again before it decides anything.
    """


class CardRefused(CardError):
    """The card answered with a status word that says no. `status` is the word, `what` the command in
    words.
    """

    def __init__(self, what: str, status: int) -> None:
        super().__init__(f"{what}: the card answered {status:04X} ({status_in_words(status)}).")
        self.what = what
        self.status = status
