"""A command to a card as plain data, and its bytes: ISO/IEC 7816-4 cases 1 to 4, short and extended."""

from dataclasses import dataclass, field
from enum import Flag

from cards.apdu.errors import ApduMalformed

MAX_SHORT_LC = 255
MAX_SHORT_LE = 256
MAX_EXTENDED_LC = 65_535
MAX_EXTENDED_LE = 65_536


class Hides(Flag):
    """Which part of an exchange is secret, as its author declares it. Nothing ever guesses it from the bytes.

    What a secure channel encrypts keeps the mark: under a factory key everybody could decrypt it.
    """

    NOTHING = 0
    COMMAND = 1
    RESPONSE = 2
    BOTH = 3


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `le` is the number of bytes wanted at most: None for none, 256 (or 65,536) for all there
    are.

    Extended length is used when the data, `le` or `extended` itself asks for it. The data is in no repr.
    """

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = field(default=b"", repr=False)
    le: int | None = None
    hides: Hides = Hides.NOTHING
    extended: bool = False
    name: str = ""
    """The command in words, for errors and traces; `cla ins` when it is empty."""

    def __post_init__(self) -> None:
        if any(not 0 <= value <= 0xFF for value in (self.cla, self.ins, self.p1, self.p2)):
            raise ApduMalformed("class, instruction, P1 and P2 are one byte each.")
        if len(self.data) > MAX_EXTENDED_LC:
            raise ApduMalformed(f"a command carries at most {MAX_EXTENDED_LC} bytes.")
        if self.le is not None and not 1 <= self.le <= MAX_EXTENDED_LE:
            raise ApduMalformed(f"a command asks for 1 to {MAX_EXTENDED_LE} bytes, or for none.")

    @property
    def header(self) -> bytes:
        """CLA INS P1 P2."""
        return bytes((self.cla, self.ins, self.p1, self.p2))

    @property
    def title(self) -> str:
        """The command's name, or its class and instruction in hex."""
        return self.name or f"command {self.cla:02X} {self.ins:02X}"

    @property
    def is_extended(self) -> bool:
        """Whether its lengths take the extended form."""
        return self.extended or len(self.data) > MAX_SHORT_LC or (self.le or 0) > MAX_SHORT_LE

    @property
    def encoded_lc(self) -> bytes:
        """The length field of the data as it stands in the bytes; empty without data."""
        if not self.data:
            return b""
        return b"\0" + len(self.data).to_bytes(2, "big") if self.is_extended else bytes((len(self.data),))

    def encode(self) -> bytes:
        """The command's bytes (ISO/IEC 7816-4, 5.2)."""
        return self.header + self.encoded_lc + self.data + self._encoded_le()

    def _encoded_le(self) -> bytes:
        if self.le is None:
            return b""
        if not self.is_extended:
            return bytes((self.le & 0xFF,))
        # Without data the extended Le brings the leading zero that tells it from a short one.
        return (b"" if self.data else b"\0") + (self.le & 0xFFFF).to_bytes(2, "big")


def parse_command(raw: bytes) -> Command:
    """The command in `raw`, as a card reads it; `ApduMalformed` unless all lengths agree."""
    if len(raw) < 4:
        raise ApduMalformed(f"a command has at least 4 bytes, this one has {len(raw)}.")
    cla, ins, p1, p2 = raw[:4]
    data, le, extended = _parse_body(raw[4:])
    return Command(cla, ins, p1, p2, data, le, extended=extended)


def _parse_body(body: bytes) -> tuple[bytes, int | None, bool]:
    if not body:
        return b"", None, False
    if len(body) == 1:
        return b"", body[0] or MAX_SHORT_LE, False
    if body[0] != 0:
        data, rest = body[1 : 1 + body[0]], body[1 + body[0] :]
        if len(data) != body[0] or len(rest) > 1:
            raise ApduMalformed("the data of the command is not as long as its length field says.")
        return data, (rest[0] or MAX_SHORT_LE) if rest else None, False
    if len(body) < 3:
        raise ApduMalformed("an extended length field has three bytes.")
    length = int.from_bytes(body[1:3], "big")
    if len(body) == 3:
        return b"", length or MAX_EXTENDED_LE, True
    data, rest = body[3 : 3 + length], body[3 + length :]
    if length == 0 or len(data) != length or len(rest) not in (0, 2):
        raise ApduMalformed("the data of the command is not as long as its extended length field says.")
    return data, (int.from_bytes(rest, "big") or MAX_EXTENDED_LE) if rest else None, True
