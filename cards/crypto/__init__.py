"""The few algorithms that chip cards share, over `cryptography`: pure functions of bytes, no chance, no I/O.

AES only. Keys come as `CardKey`, which shows its bytes to nobody by accident.
"""

from cards.crypto.aes import (
    BLOCK_BYTES,
    cmac,
    cmac_subkeys,
    decrypt_block,
    decrypt_cbc,
    encrypt_block,
    encrypt_cbc,
    odd_bytes,
    xor,
)
from cards.crypto.checksums import crc32_desfire
from cards.crypto.compare import equal_in_constant_time
from cards.crypto.diversify import MAX_INPUT_BYTES, diversify, diversify_with
from cards.crypto.originality import is_original
from cards.crypto.padding import PaddingWrong, pad, unpad
from cards.crypto.secret import KEY_SIZES, CardKey

__all__ = [
    "BLOCK_BYTES",
    "KEY_SIZES",
    "MAX_INPUT_BYTES",
    "CardKey",
    "PaddingWrong",
    "cmac",
    "cmac_subkeys",
    "crc32_desfire",
    "decrypt_block",
    "decrypt_cbc",
    "diversify",
    "diversify_with",
    "encrypt_block",
    "encrypt_cbc",
    "equal_in_constant_time",
    "is_original",
    "odd_bytes",
    "pad",
    "unpad",
    "xor",
]
