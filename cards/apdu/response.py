"""An answer of a card as plain data: some bytes, and the status word."""

from dataclasses import dataclass, field

from cards.apdu.command import MAX_EXTENDED_LE
from cards.apdu.errors import ApduMalformed, CardRefused
from cards.apdu.status import StatusWord, status_in_words

_SUCCESS = (StatusWord.OK, StatusWord.DF_OK)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. The data is in no repr, since an answer may hold what its command declared secret."""

    data: bytes = field(repr=False)
    status: int

    @property
    def ok(self) -> bool:
        """9000, or 9100 of a native card: done, nothing to add."""
        return self.status in _SUCCESS

    @property
    def words(self) -> str:
        """The status word in plain words."""
        return status_in_words(self.status)

    def encode(self) -> bytes:
        """The answer's bytes: data, then SW1 SW2."""
        return self.data + self.status.to_bytes(2, "big")

    def expect(self, what: str, *allowed: int) -> bytes:
        """The data, if the status is one of `allowed` (by default 9000 or 9100); else `CardRefused` naming
        `what`.
        """
        if self.status in (allowed or _SUCCESS):
            return self.data
        raise CardRefused(what, self.status)


def parse_response(raw: bytes) -> Response:
    """The answer in `raw`; `ApduMalformed` when it has no status word or is longer than any answer can be."""
    if not 2 <= len(raw) <= MAX_EXTENDED_LE + 2:
        raise ApduMalformed(
            f"an answer has a status word and at most {MAX_EXTENDED_LE} bytes before it; "
            f"this one has {len(raw)} bytes."
        )
    return Response(raw[:-2], int.from_bytes(raw[-2:], "big"))
