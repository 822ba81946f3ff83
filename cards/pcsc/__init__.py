"""Cards in real readers, through PC/SC: the only place that knows pyscard.

`reader_names` lists what is there, `Reader` opens one of them, waits for a card and gives a `CardInReader`,
which is a `Transport`. The package can be imported without pyscard; the first call says what is missing.
"""

from cards.pcsc.errors import (
    CardPulled,
    NoCardOnReader,
    PcscError,
    PcscMissing,
    PcscServiceAbsent,
    ReaderAbsent,
    ReaderInUse,
)
from cards.pcsc.reader import CardInReader, Reader, reader_names

__all__ = [
    "CardInReader",
    "CardPulled",
    "NoCardOnReader",
    "PcscError",
    "PcscMissing",
    "PcscServiceAbsent",
    "Reader",
    "ReaderAbsent",
    "ReaderInUse",
    "reader_names",
]
