"""Commands and answers of a chip card (ISO/IEC 7816-4), and the small processors between a command and the
wire.

`Command` and `Response` are plain data. Whatever can send a command is a `Processor`; a chain of them ends in
a `Wire` over an injected `Transport`, so that nothing here knows a reader, a socket or a simulated card.
"""

from cards.apdu.command import MAX_EXTENDED_LE, MAX_SHORT_LE, Command, Hides, parse_command
from cards.apdu.errors import ApduMalformed, CardError, CardLost, CardRefused
from cards.apdu.processors import (
    CommandChaining,
    CorrectLength,
    GetResponse,
    Processor,
    Transport,
    Wire,
    card_chain,
)
from cards.apdu.response import Response, parse_response
from cards.apdu.status import StatusWord, status_in_words
from cards.apdu.trace import Trace

__all__ = [
    "MAX_EXTENDED_LE",
    "MAX_SHORT_LE",
    "ApduMalformed",
    "CardError",
    "CardLost",
    "CardRefused",
    "Command",
    "CommandChaining",
    "CorrectLength",
    "GetResponse",
    "Hides",
    "Processor",
    "Response",
    "StatusWord",
    "Trace",
    "Transport",
    "Wire",
    "card_chain",
    "parse_command",
    "parse_response",
    "status_in_words",
]
