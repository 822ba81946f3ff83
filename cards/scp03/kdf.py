"""Keys of a session out of the card's static keys: NIST SP 800-108 in counter mode over CMAC (Amendment D,
4.1.5).
"""

from dataclasses import dataclass
from enum import IntEnum

from cards.crypto import BLOCK_BYTES, CardKey, cmac

_LABEL_ZEROS = bytes(11)


class Constant(IntEnum):
    """What is derived (Amendment D, table 4-1)."""

    CARD_CRYPTOGRAM = 0x00
    HOST_CRYPTOGRAM = 0x01
    CARD_CHALLENGE = 0x02
    S_ENC = 0x04
    S_MAC = 0x06
    S_RMAC = 0x07


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """One key set of a security domain: for encryption, for MACs, and for other keys on their way in
    (DEK).
    """

    enc: CardKey
    mac: CardKey
    dek: CardKey

    def __post_init__(self) -> None:
        if not len(self.enc) == len(self.mac) == len(self.dek):
            raise ValueError("the three keys of a set are of one size")


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """What one session encrypts and authenticates with."""

    enc: CardKey
    mac: CardKey
    rmac: CardKey


def derive(key: CardKey, constant: Constant, context: bytes, length_bytes: int) -> bytes:
    """`length_bytes` bytes for `constant` and `context`: label, 00, length in bits, counter, context."""
    length_bits = (8 * length_bytes).to_bytes(2, "big")
    blocks = -(-length_bytes // BLOCK_BYTES)
    made = b"".join(
        cmac(key, _LABEL_ZEROS + bytes((constant, 0)) + length_bits + bytes((counter,)) + context)
        for counter in range(1, blocks + 1)
    )
    return made[:length_bytes]


def derive_session_keys(keys: StaticKeys, host_challenge: bytes, card_challenge: bytes) -> SessionKeys:
    """The session's keys, as long as the static ones (Amendment D, 6.2.1)."""
    context, size = host_challenge + card_challenge, len(keys.enc)
    return SessionKeys(
        enc=CardKey(derive(keys.enc, Constant.S_ENC, context, size)),
        mac=CardKey(derive(keys.mac, Constant.S_MAC, context, size)),
        rmac=CardKey(derive(keys.mac, Constant.S_RMAC, context, size)),
    )
