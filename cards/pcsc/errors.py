"""What goes wrong between this program, the PC/SC service and a reader, in words for who stands before it."""

from cards.apdu import CardError, CardLost


class PcscError(CardError):
    """A fault of readers or of the PC/SC service. Cards keep what they had."""


class PcscMissing(PcscError):
    """The Python side of PC/SC is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "Card readers need pyscard. Install it: apt-get install libpcsclite-dev gcc, then"
            " pip install 'vafa[cards]'. Virtual cards in this process work without."
        )


class PcscServiceAbsent(PcscError):
    """pcscd does not run, or stopped while a card was in use, or may not be used."""


class ReaderAbsent(PcscError):
    """No such reader: none is plugged in, or another one than was asked for."""


class ReaderInUse(PcscError):
    """Another program holds the card."""


class NoCardOnReader(PcscError):
    """Nothing lies on the reader, or nothing that answers."""


class CardPulled(PcscError, CardLost):
    """The card, or its reader, went away, or was reset by another program, while it was in use.

    Whether the command under way took effect is unknown; the card's session is over.
    """
