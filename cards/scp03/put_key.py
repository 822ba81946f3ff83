"""PUT KEY of a whole key set, encrypted under the DEK (GlobalPlatform 2.3.1, 11.8; Amendment D, 7.2)."""

from cards.apdu import CardError, Command, Hides
from cards.crypto import BLOCK_BYTES, CardKey, encrypt_cbc
from cards.keys import MAX_KEY_VERSION, MIN_KEY_VERSION, gp_check_value
from cards.scp03.kdf import StaticKeys

_INS_PUT_KEY = 0xD8
_FIRST_KEY_OF_SEVERAL = 0x81
_TYPE_AES = 0x88


class KeysNotTaken(CardError):
    """The card answered PUT KEY with other check values than those of the keys sent."""


def put_key(new: StaticKeys, new_version: int, dek: CardKey, *, replaces_version: int) -> Command:
    """The command that puts `new` as `new_version` in place of `replaces_version` (0 adds it beside).

    `dek` is the key-encryption key of the set that opened the channel. The command is secret, also where the
    channel encrypts: under a factory key, everybody could undo that.
    """
    if not MIN_KEY_VERSION <= new_version <= MAX_KEY_VERSION or not 0 <= replaces_version <= MAX_KEY_VERSION:
        raise ValueError("GlobalPlatform key versions run from 1 to 127")
    fields = b"".join(_key_field(key, dek) for key in (new.enc, new.mac, new.dek))
    return Command(
        0x80,
        _INS_PUT_KEY,
        replaces_version,
        _FIRST_KEY_OF_SEVERAL,
        bytes((new_version,)) + fields,
        le=256,
        hides=Hides.COMMAND,
        name=f"PUT KEY, version {new_version}",
    )


def parse_put_key_answer(new: StaticKeys, new_version: int, data: bytes) -> None:
    """`KeysNotTaken` unless the card confirms the version and the check value of each key."""
    wanted = bytes((new_version,)) + b"".join(gp_check_value(key) for key in (new.enc, new.mac, new.dek))
    if data != wanted:
        raise KeysNotTaken(
            f"The card confirmed other keys than version {new_version} as sent. Set it apart, probe it again."
        )


def encrypt_under_dek(key: CardKey, dek: CardKey) -> bytes:
    """A key on its way into the card: AES-CBC from an IV of zeros, padded with zeros to whole blocks."""
    padded = key.raw.ljust(-(-len(key) // BLOCK_BYTES) * BLOCK_BYTES, b"\0")
    return encrypt_cbc(dek, bytes(BLOCK_BYTES), padded)


def _key_field(key: CardKey, dek: CardKey) -> bytes:
    # The inner length is the key's own; the outer one counts it, and the padding of a 24-byte key.
    block = bytes((len(key),)) + encrypt_under_dek(key, dek)
    check = gp_check_value(key)
    return bytes((_TYPE_AES, len(block))) + block + bytes((len(check),)) + check
