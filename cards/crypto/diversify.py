"""A key for one card out of a master key and what names the card: NXP AN10922, the AES variants."""

from collections.abc import Callable
from functools import partial

from cards.crypto.aes import BLOCK_BYTES, encrypt_cbc, subkeys_of, xor
from cards.crypto.secret import CardKey

MAX_INPUT_BYTES = 31
_ZERO_BLOCK = bytes(BLOCK_BYTES)
_MESSAGE_BYTES = 2 * BLOCK_BYTES


def diversify(master: CardKey, diversification_input: bytes) -> CardKey:
    """The key of the same size for `diversification_input` (AN10922 calls it M: 1 to 31 bytes)."""
    return diversify_with(partial(encrypt_cbc, master, _ZERO_BLOCK), len(master), diversification_input)


def diversify_with(
    encrypt_from_zero: Callable[[bytes], bytes], key_bytes: int, diversification_input: bytes
) -> CardKey:
    """As `diversify`, for a master key that its store does not give away.

    `encrypt_from_zero` is AES-CBC with that key, an IV of zeros and no padding, over one or two blocks: what
    a hardware module offers. `key_bytes` is 16, 24 or 32, the master key's size.
    """
    if not 1 <= len(diversification_input) <= MAX_INPUT_BYTES:
        raise ValueError(f"AN10922 takes 1 to {MAX_INPUT_BYTES} bytes, not {len(diversification_input)}")
    subkeys = subkeys_of(encrypt_from_zero(_ZERO_BLOCK))

    def half(constant: int) -> bytes:
        return _two_block_cmac(encrypt_from_zero, subkeys, bytes((constant,)) + diversification_input)

    match key_bytes:
        case 16:
            return CardKey(half(0x01))
        case 24:
            left, right = half(0x11), half(0x12)
            return CardKey(left[:8] + xor(left[8:], right[:8]) + right[8:])
        case 32:
            return CardKey(half(0x41) + half(0x42))
        case _:
            raise ValueError(f"AN10922 diversifies AES keys of 16, 24 or 32 bytes, not {key_bytes}")


def _two_block_cmac(
    encrypt_from_zero: Callable[[bytes], bytes], subkeys: tuple[bytes, bytes], message: bytes
) -> bytes:
    # Short input is padded to TWO blocks, where a plain CMAC would stop at one (AN10922, 2.2): hence by hand.
    first, second = subkeys
    if len(message) == _MESSAGE_BYTES:
        padded, subkey = message, first
    else:
        padded, subkey = (message + b"\x80").ljust(_MESSAGE_BYTES, b"\0"), second
    masked = padded[:BLOCK_BYTES] + xor(padded[BLOCK_BYTES:], subkey)
    return encrypt_from_zero(masked)[BLOCK_BYTES:]
