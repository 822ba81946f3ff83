"""The sale as a card proves it: 56 bytes, the same for all kinds of card (`docs/cards/applet.md`)."""

from dataclasses import dataclass
from hashlib import sha256

NAME_BYTES, AMOUNT_BYTES, UNIT_BYTES, NONCE_BYTES = 16, 8, 8, 8
SALE_BYTES = 2 * NAME_BYTES + AMOUNT_BYTES + UNIT_BYTES + NONCE_BYTES
MAX_AMOUNT = 2**63 - 1
_DIGEST_TAG = b"vafa card sale v1\0"


class SaleMalformed(Exception):
    """Bytes that describe no sale."""


@dataclass(frozen=True, slots=True)
class Sale:
    """One sale: where (merchant and terminal), how much in minor units of what, and a number chosen for it
    alone.
    """

    acquirer: str
    terminal: str
    amount: int
    unit: str
    """The code of the purse or currency."""
    nonce: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.amount <= MAX_AMOUNT:
            raise ValueError("an amount is not negative and has at most 63 bits")
        if len(self.nonce) != NONCE_BYTES:
            raise ValueError(f"a sale's nonce has {NONCE_BYTES} bytes")

    def encode(self) -> bytes:
        """The 56 bytes."""
        return (
            _digest(self.acquirer, NAME_BYTES)
            + _digest(self.terminal, NAME_BYTES)
            + self.amount.to_bytes(AMOUNT_BYTES, "big")
            + _digest(self.unit, UNIT_BYTES)
            + self.nonce
        )

    def digest(self) -> bytes:
        """32 bytes: what a card without the applet writes down of the sale."""
        return sale_digest(self.encode())


@dataclass(frozen=True, slots=True)
class ExpectedSale:
    """What a proof made elsewhere must be for. The home node does not know a partner's terminals: None."""

    acquirer: str
    amount: int
    unit: str
    terminal: str | None = None


@dataclass(frozen=True, slots=True)
class ProvenSale:
    """A sale as its 56 bytes tell it: names only by their hash."""

    raw: bytes
    acquirer: bytes
    terminal: bytes
    amount: int
    unit: bytes

    def is_for(self, expected: ExpectedSale) -> bool:
        """Whether it is the sale that is asked about."""
        terminal = self.terminal if expected.terminal is None else _digest(expected.terminal, NAME_BYTES)
        wanted = (
            _digest(expected.acquirer, NAME_BYTES),
            terminal,
            expected.amount,
            _digest(expected.unit, UNIT_BYTES),
        )
        return (self.acquirer, self.terminal, self.amount, self.unit) == wanted


def parse_sale(raw: bytes) -> ProvenSale:
    """Read the 56 bytes; `SaleMalformed` for another number of them."""
    if len(raw) != SALE_BYTES:
        raise SaleMalformed(f"a sale has {SALE_BYTES} bytes, not {len(raw)}")
    at = 2 * NAME_BYTES
    return ProvenSale(
        raw=raw,
        acquirer=raw[:NAME_BYTES],
        terminal=raw[NAME_BYTES:at],
        amount=int.from_bytes(raw[at : at + AMOUNT_BYTES], "big"),
        unit=raw[at + AMOUNT_BYTES : at + AMOUNT_BYTES + UNIT_BYTES],
    )


def sale_digest(encoded: bytes) -> bytes:
    """The digest of a sale's 56 bytes."""
    return sha256(_DIGEST_TAG + encoded).digest()


def _digest(name: str, size: int) -> bytes:
    return sha256(name.encode()).digest()[:size]
