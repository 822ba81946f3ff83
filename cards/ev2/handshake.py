"""EV2 authentication: three passes, as plain data (NT4H2421Gx 9.1.5 and 9.1.6, AN12196 6.6).

Each function gives what to send next, so that whoever carries the bytes, a reader or a till, knows no key.
"""

from dataclasses import dataclass, field

from cards.apdu import CardError, Command
from cards.crypto import BLOCK_BYTES, CardKey, decrypt_cbc, encrypt_cbc, equal_in_constant_time
from cards.ev2.session import Session, session_keys

INS_FIRST, INS_NON_FIRST, INS_MORE = 0x71, 0x77, 0xAF
_ZERO_IV = bytes(BLOCK_BYTES)
_TRANSACTION_ID_BYTES = 4
_CAPABILITIES_BYTES = 12
_FIRST_ANSWER_BYTES = 2 * BLOCK_BYTES


class HandshakeFailed(CardError):
    """The card's part of the handshake does not come from the key that was used."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A handshake half done: the key, and both random numbers."""

    key: CardKey
    key_number: int
    rnd_a: bytes = field(repr=False)
    rnd_b: bytes = field(repr=False)


def start_first(key_number: int) -> Command:
    """AuthenticateEV2First with key `key_number`: opens a transaction. No capabilities are sent, as in
    AN12196.
    """
    return _start(INS_FIRST, key_number, bytes((key_number, 0)))


def start_non_first(key_number: int) -> Command:
    """AuthenticateEV2NonFirst with key `key_number`, inside the transaction: its id and counter go on."""
    return _start(INS_NON_FIRST, key_number, bytes((key_number,)))


def _start(ins: int, key_number: int, data: bytes) -> Command:
    return Command(0x90, ins, 0, 0, data, le=256, name=f"authenticate with key {key_number}")


def answer_challenge(
    key: CardKey, key_number: int, rnd_a: bytes, encrypted_rnd_b: bytes
) -> tuple[Challenge, Command]:
    """The second pass: our random number (16 bytes of chance) and the card's, turned by one byte.

    `HandshakeFailed` if the card's challenge is not one block.
    """
    if len(rnd_a) != BLOCK_BYTES:
        raise ValueError("RndA is 16 bytes of chance")
    if len(encrypted_rnd_b) != BLOCK_BYTES:
        raise HandshakeFailed(f"The card's challenge has {len(encrypted_rnd_b)} bytes instead of 16.")
    rnd_b = decrypt_cbc(key, _ZERO_IV, encrypted_rnd_b)
    command = Command(
        0x90,
        INS_MORE,
        0,
        0,
        encrypt_cbc(key, _ZERO_IV, rnd_a + _turned(rnd_b)),
        le=256,
        name=f"authenticate with key {key_number}, second part",
    )
    return Challenge(key, key_number, rnd_a, rnd_b), command


def finish_first(challenge: Challenge, encrypted: bytes) -> Session:
    """The session of AuthenticateEV2First; `HandshakeFailed` unless the card returned our random number
    turned.
    """
    if len(encrypted) != _FIRST_ANSWER_BYTES:
        raise HandshakeFailed("The card's proof has the wrong length.")
    plain = decrypt_cbc(challenge.key, _ZERO_IV, encrypted)
    transaction_id, proof = plain[:_TRANSACTION_ID_BYTES], plain[_TRANSACTION_ID_BYTES:-_CAPABILITIES_BYTES]
    return _session(challenge, proof, transaction_id, commands=0)


def finish_non_first(challenge: Challenge, encrypted: bytes, before: Session) -> Session:
    """The session of AuthenticateEV2NonFirst: new keys, but the transaction and its counter of `before`."""
    if len(encrypted) != BLOCK_BYTES:
        raise HandshakeFailed("The card's proof has the wrong length.")
    proof = decrypt_cbc(challenge.key, _ZERO_IV, encrypted)
    return _session(challenge, proof, before.transaction_id, before.commands)


def _session(challenge: Challenge, proof: bytes, transaction_id: bytes, commands: int) -> Session:
    if not equal_in_constant_time(proof, _turned(challenge.rnd_a)):
        raise HandshakeFailed("The card does not hold the key that was tried: its proof is wrong.")
    enc, mac = session_keys(challenge.key, challenge.rnd_a, challenge.rnd_b)
    return Session(enc, mac, transaction_id, commands, challenge.key_number)


def _turned(block: bytes) -> bytes:
    return block[1:] + block[:1]
