"""AES in the ways that cards use it: single blocks, CBC without padding, and CMAC (NIST SP 800-38B)."""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from cards.crypto.secret import CardKey

BLOCK_BYTES = 16
_ZERO_BLOCK = bytes(BLOCK_BYTES)
_RB = 0x87
"""The constant of SP 800-38B for blocks of 128 bits."""


def encrypt_block(key: CardKey, block: bytes) -> bytes:
    """One block of 16 bytes, encrypted."""
    return encrypt_cbc(key, _ZERO_BLOCK, _one_block(block))


def decrypt_block(key: CardKey, block: bytes) -> bytes:
    """One block of 16 bytes, decrypted."""
    return decrypt_cbc(key, _ZERO_BLOCK, _one_block(block))


def encrypt_cbc(key: CardKey, iv: bytes, data: bytes) -> bytes:
    """CBC over whole blocks; `ValueError` for anything else. Padding is the caller's, as protocols differ in
    it.
    """
    encryptor = Cipher(algorithms.AES(key.raw), modes.CBC(iv)).encryptor()
    return encryptor.update(_whole_blocks(data)) + encryptor.finalize()


def decrypt_cbc(key: CardKey, iv: bytes, data: bytes) -> bytes:
    """The reverse of `encrypt_cbc`."""
    decryptor = Cipher(algorithms.AES(key.raw), modes.CBC(iv)).decryptor()
    return decryptor.update(_whole_blocks(data)) + decryptor.finalize()


def cmac(key: CardKey, message: bytes) -> bytes:
    """The full 16 bytes; each protocol shortens them in its own way."""
    mac = CMAC(algorithms.AES(key.raw))
    mac.update(message)
    return mac.finalize()


def cmac_subkeys(key: CardKey) -> tuple[bytes, bytes]:
    """K1 and K2 of SP 800-38B, which AN10922 applies by hand."""
    return subkeys_of(encrypt_block(key, _ZERO_BLOCK))


def subkeys_of(encrypted_zero_block: bytes) -> tuple[bytes, bytes]:
    """K1 and K2 from the encryption of 16 zero bytes, for keys that stay in their store."""
    first = _doubled(encrypted_zero_block)
    return first, _doubled(first)


def odd_bytes(mac: bytes) -> bytes:
    """The 8 bytes at the odd places, counted from 0: how EV2 messaging and SDM shorten a CMAC (NT4H2421Gx,
    9.1.3).
    """
    return mac[1::2]


def xor(left: bytes, right: bytes) -> bytes:
    """Byte by byte; both must be of one length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _doubled(block: bytes) -> bytes:
    value = int.from_bytes(block, "big") << 1
    if value >> 128:
        value = (value & ((1 << 128) - 1)) ^ _RB
    return value.to_bytes(BLOCK_BYTES, "big")


def _one_block(block: bytes) -> bytes:
    if len(block) != BLOCK_BYTES:
        raise ValueError(f"a block has {BLOCK_BYTES} bytes, not {len(block)}")
    return block


def _whole_blocks(data: bytes) -> bytes:
    if len(data) % BLOCK_BYTES:
        raise ValueError(f"{len(data)} bytes are no whole number of blocks")
    return data
