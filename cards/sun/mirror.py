"""What the card mirrors into its address, and how it signs that (NT4H2421Gx 9.3, AN12196 3.3 and 3.4).

The read counter is big-endian where it stands in clear in the address, and little-endian wherever it is
computed with.
"""

from dataclasses import dataclass

from cards.crypto import (
    BLOCK_BYTES,
    CardKey,
    cmac,
    decrypt_cbc,
    encrypt_block,
    equal_in_constant_time,
    odd_bytes,
)

UID_BYTES = 7
COUNTER_BYTES = 3
MAX_READ_COUNTER = 0xFFFFFF
MAC_BYTES = 8

_ZERO_IV = bytes(BLOCK_BYTES)
_SV_ENC, _SV_MAC = b"\xc3\x3c", b"\x3c\xc3"
_COUNTER_AND_LENGTH = b"\x00\x01\x00\x80"
_HAS_UID, _HAS_COUNTER, _LENGTH, _RESERVED = 0x80, 0x40, 0x0F, 0x30


@dataclass(frozen=True, slots=True)
class PiccData:
    """What the card says of itself: its UID (7 bytes) and how often its file was read. Each may be left
    out.
    """

    uid: bytes | None
    counter: int | None

    def __post_init__(self) -> None:
        if self.uid is not None and len(self.uid) != UID_BYTES:
            raise ValueError(f"a UID has {UID_BYTES} bytes")
        if self.counter is not None and not 0 <= self.counter <= MAX_READ_COUNTER:
            raise ValueError("a read counter has three bytes")

    def encoded(self) -> bytes:
        """UID and little-endian counter, as they enter the session's vectors."""
        counter = b"" if self.counter is None else self.counter.to_bytes(COUNTER_BYTES, "little")
        return (self.uid or b"") + counter


def open_picc_data(meta_read_key: CardKey, encrypted: bytes) -> PiccData | None:
    """Decrypt the PICC data of an address (16 bytes); None if that key does not open it.

    A wrong key looks like a right one once in some 250 times: only the MAC settles whose the tap is.
    """
    if len(encrypted) != BLOCK_BYTES:
        return None
    plain = decrypt_cbc(meta_read_key, _ZERO_IV, encrypted)
    tag, rest = plain[0], plain[1:]
    if tag & _RESERVED or not tag & (_HAS_UID | _HAS_COUNTER):
        return None
    if tag & _LENGTH != (UID_BYTES if tag & _HAS_UID else 0):
        return None
    uid = rest[:UID_BYTES] if tag & _HAS_UID else None
    rest = rest[len(uid or b"") :]
    counter = int.from_bytes(rest[:COUNTER_BYTES], "little") if tag & _HAS_COUNTER else None
    return PiccData(uid, counter)


def sdm_session_keys(file_read_key: CardKey, picc: PiccData) -> tuple[CardKey, CardKey]:
    """The keys of this one tap, to encrypt file data and to authenticate (NT4H2421Gx 9.3.9.1)."""
    context = _COUNTER_AND_LENGTH + picc.encoded()
    return (
        CardKey(cmac(file_read_key, (_SV_ENC + context).ljust(BLOCK_BYTES, b"\0"))),
        CardKey(cmac(file_read_key, (_SV_MAC + context).ljust(BLOCK_BYTES, b"\0"))),
    )


def sdm_mac(file_read_key: CardKey, picc: PiccData, covered: bytes) -> bytes:
    """The MAC over the covered part of the address: the odd bytes of the CMAC (NT4H2421Gx 9.3.8.1)."""
    _, mac_key = sdm_session_keys(file_read_key, picc)
    return odd_bytes(cmac(mac_key, covered))


def mac_is_right(file_read_key: CardKey, picc: PiccData, covered: bytes, mac: bytes) -> bool:
    """Whether the card that holds `file_read_key` made this address. Compared in constant time."""
    return equal_in_constant_time(sdm_mac(file_read_key, picc, covered), mac)


def decrypt_file_data(file_read_key: CardKey, picc: PiccData, encrypted: bytes) -> bytes:
    """The part of the file that the card encrypted into the address, whole blocks (NT4H2421Gx 9.3.6.2)."""
    enc_key, _ = sdm_session_keys(file_read_key, picc)
    counter = (picc.counter or 0).to_bytes(COUNTER_BYTES, "little")
    return decrypt_cbc(enc_key, encrypt_block(enc_key, counter.ljust(BLOCK_BYTES, b"\0")), encrypted)
