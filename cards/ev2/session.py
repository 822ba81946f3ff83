"""The keys of an EV2 session, and where it stands (NT4H2421Gx 9.1.2, 9.1.7)."""

from dataclasses import dataclass

from cards.crypto import CardKey, cmac, encrypt_block, odd_bytes, xor

MAX_COMMANDS = 0xFFFF
"""How many commands one session carries; the card ends it there (NT4H2421Gx 9.1.2)."""

_SV1, _SV2 = b"\xa5\x5a", b"\x5a\xa5"
_COUNTER_AND_LENGTH = b"\x00\x01\x00\x80"
_IV_COMMAND, _IV_RESPONSE = _SV1, _SV2


@dataclass(frozen=True, slots=True)
class Session:
    """One authenticated session: its keys, the card's transaction identifier, the commands so far.

    `key_number` is the key that opened it. Frozen: `wrap` and `unwrap` give the next one.
    """

    enc: CardKey
    mac: CardKey
    transaction_id: bytes
    commands: int = 0
    key_number: int = 0


def session_keys(key: CardKey, rnd_a: bytes, rnd_b: bytes) -> tuple[CardKey, CardKey]:
    """The keys to encrypt and to authenticate with, out of both random numbers (NT4H2421Gx 9.1.7)."""
    context = _COUNTER_AND_LENGTH + rnd_a[:2] + xor(rnd_a[2:8], rnd_b[:6]) + rnd_b[6:] + rnd_a[8:]
    return CardKey(cmac(key, _SV1 + context)), CardKey(cmac(key, _SV2 + context))


def mac_over(session: Session, code: int, commands: int, data: bytes) -> bytes:
    """The 8 bytes over a command (its code) or an answer (its status), the counter and the data (9.1.9)."""
    message = bytes((code,)) + commands.to_bytes(2, "little") + session.transaction_id + data
    return odd_bytes(cmac(session.mac, message))


def command_iv(session: Session) -> bytes:
    """The IV under which the next command's data is encrypted (9.1.4)."""
    return _iv(session, _IV_COMMAND, session.commands)


def response_iv(session: Session) -> bytes:
    """The IV of the answer to the command just sent, of which `session` has not yet counted."""
    return _iv(session, _IV_RESPONSE, session.commands + 1)


def _iv(session: Session, label: bytes, commands: int) -> bytes:
    return encrypt_block(
        session.enc, label + session.transaction_id + commands.to_bytes(2, "little") + bytes(8)
    )
