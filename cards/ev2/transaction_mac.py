"""The keys of DESFire's transaction MAC, by which a card signs what a transaction did (MF2DLHX0 data sheet,
10.3).

Nothing here uses it at tills yet: the sale is bound by a MACed command. It is kept for readers of transaction
records.
"""

from cards.crypto import BLOCK_BYTES, CardKey, cmac

_SV_MAC, _SV_ENC = b"\x5a", b"\xa5"
_COUNTER_AND_LENGTH = b"\x00\x01\x00\x80"


def transaction_mac_keys(key: CardKey, uid: bytes, counter: int) -> tuple[CardKey, CardKey]:
    """The keys for the MAC and for the reader's id, of the transaction after `counter` (the card's TMC)."""
    context = _COUNTER_AND_LENGTH + (counter + 1).to_bytes(4, "little") + uid
    return (
        CardKey(cmac(key, (_SV_MAC + context).ljust(BLOCK_BYTES, b"\0"))),
        CardKey(cmac(key, (_SV_ENC + context).ljust(BLOCK_BYTES, b"\0"))),
    )
