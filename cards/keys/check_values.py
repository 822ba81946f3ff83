"""A few bytes by which people and cards recognise a key that they must not see."""

from cards.crypto import BLOCK_BYTES, CardKey, cmac, encrypt_block

GP_CHECK_BYTES = 3
CMAC_CHECK_BYTES = 5
_ONES = b"\x01" * BLOCK_BYTES


def gp_check_value(key: CardKey) -> bytes:
    """Three bytes: of the encryption of 16 bytes 01 (GlobalPlatform Amendment D, 7.2.2). For keys that cards
    check.
    """
    return encrypt_block(key, _ONES)[:GP_CHECK_BYTES]


def cmac_check_value(key: CardKey) -> bytes:
    """Five bytes: of the CMAC over 16 zeros (ANSI X9.24-1:2017, annex A). For master keys and their
    components.
    """
    return cmac(key, bytes(BLOCK_BYTES))[:CMAC_CHECK_BYTES]
