"""Who is there? INITIALIZE UPDATE and EXTERNAL AUTHENTICATE, as plain data (Amendment D, 7.1)."""

from dataclasses import dataclass, replace

from cards.apdu import CardError, Command, Hides
from cards.crypto import equal_in_constant_time
from cards.scp03.kdf import Constant, SessionKeys, StaticKeys, derive, derive_session_keys
from cards.scp03.level import SecurityLevel
from cards.scp03.session import Session, wrap

S8_BYTES, S16_BYTES = 8, 16
"""The length of challenges, cryptograms and MACs in the two modes of the protocol."""

_SCP03 = 0x03
_DIVERSIFICATION_BYTES, _KEY_INFORMATION_BYTES, _SEQUENCE_BYTES = 10, 3, 3
_I_S16, _I_PSEUDO_RANDOM, _I_R_MAC, _I_R_ENC = 0x01, 0x10, 0x20, 0x40


class CardNotAuthentic(CardError):
    """The card does not hold the keys that were tried. It was found out before the card could count a
    failure.
    """


class ChannelNotOffered(CardError):
    """The card speaks another protocol, mode or level than was asked for."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """Both challenges, and what the card says of itself in answer to INITIALIZE UPDATE."""

    host_challenge: bytes
    diversification_data: bytes
    """Ten bytes that name the chip; keys may be diversified by them."""
    key_version: int
    parameter_i: int
    card_challenge: bytes
    card_cryptogram: bytes
    sequence: int | None
    """How many sessions this key set has had; None from cards whose challenge is random."""

    @property
    def mac_bytes(self) -> int:
        """8 in mode S8, 16 in mode S16."""
        return len(self.card_cryptogram)

    def offers(self, level: SecurityLevel) -> bool:
        """Whether the card can protect answers as `level` wants it."""
        needed = (_I_R_MAC if level.macs_responses else 0) | (_I_R_ENC if level.encrypts_responses else 0)
        return self.parameter_i & needed == needed


def initialize_update(host_challenge: bytes, key_version: int = 0, key_id: int = 0) -> Command:
    """The command that starts a session with the key set `key_version` (0: whichever the card takes
    first).
    """
    challenge_bytes_of(host_challenge)
    return Command(
        0x80,
        0x50,
        key_version,
        key_id,
        host_challenge,
        le=256,
        name=f"INITIALIZE UPDATE, key version {key_version}",
    )


def challenge_bytes_of(host_challenge: bytes) -> int:
    """8 or 16, which says the mode; `ValueError` for any other length."""
    if len(host_challenge) not in (S8_BYTES, S16_BYTES):
        raise ValueError("a host challenge has 8 bytes (mode S8) or 16 (mode S16)")
    return len(host_challenge)


def parse_greeting(host_challenge: bytes, data: bytes) -> Greeting:
    """Read the answer to INITIALIZE UPDATE; `ChannelNotOffered` unless it is SCP03 in the challenge's
    mode.
    """
    size = challenge_bytes_of(host_challenge)
    start = _DIVERSIFICATION_BYTES + _KEY_INFORMATION_BYTES
    if len(data) < start or data[11] != _SCP03:
        raise ChannelNotOffered(
            "The card offers no SCP03. It is not a card of this profile, or of another product."
        )
    parameter_i = data[12]
    if bool(parameter_i & _I_S16) != (size == S16_BYTES):
        raise ChannelNotOffered(
            f"The card wants mode {'S16' if parameter_i & _I_S16 else 'S8'}, not the other."
        )
    sequence_bytes = _SEQUENCE_BYTES if parameter_i & _I_PSEUDO_RANDOM else 0
    if len(data) != start + 2 * size + sequence_bytes:
        raise ChannelNotOffered(f"The card's greeting has {len(data)} bytes, which no mode of SCP03 has.")
    sequence = data[start + 2 * size :]
    return Greeting(
        host_challenge=host_challenge,
        diversification_data=data[:_DIVERSIFICATION_BYTES],
        key_version=data[10],
        parameter_i=parameter_i,
        card_challenge=data[start : start + size],
        card_cryptogram=data[start + size : start + 2 * size],
        sequence=int.from_bytes(sequence, "big") if sequence else None,
    )


def card_cryptogram(greeting: Greeting, session: SessionKeys) -> bytes:
    """What the card must have answered if it holds the keys (Amendment D, 6.2.2.2)."""
    return _cryptogram(Constant.CARD_CRYPTOGRAM, greeting, session)


def host_cryptogram(greeting: Greeting, session: SessionKeys) -> bytes:
    """What proves the host to the card (Amendment D, 6.2.2.3)."""
    return _cryptogram(Constant.HOST_CRYPTOGRAM, greeting, session)


def _cryptogram(constant: Constant, greeting: Greeting, session: SessionKeys) -> bytes:
    context = greeting.host_challenge + greeting.card_challenge
    return derive(session.mac, constant, context, greeting.mac_bytes)


def session_keys(greeting: Greeting, keys: StaticKeys) -> SessionKeys:
    """The keys of the session that `greeting` began."""
    return derive_session_keys(keys, greeting.host_challenge, greeting.card_challenge)


def holds(greeting: Greeting, keys: StaticKeys) -> bool:
    """Whether the card holds `keys`. Nothing is sent, so that any number of key sets costs the card no
    try.
    """
    return equal_in_constant_time(
        card_cryptogram(greeting, session_keys(greeting, keys)), greeting.card_cryptogram
    )


def external_authenticate(
    greeting: Greeting, keys: StaticKeys, level: SecurityLevel
) -> tuple[Session, Command]:
    """The session at `level` and the command that opens it.

    `CardNotAuthentic` if the card's cryptogram is wrong, and then there is no command to send: a wrong
    EXTERNAL AUTHENTICATE is what makes a card count, and at last lock itself.
    """
    if not holds(greeting, keys):
        raise CardNotAuthentic(
            f"The card does not hold the key tried as version {greeting.key_version}. "
            "Nothing was sent that it could count as a failed try."
        )
    if not greeting.offers(level):
        raise ChannelNotOffered(f"The card cannot protect answers as level {level:02X} wants it.")
    derived = session_keys(greeting, keys)
    opening = Command(
        0x80,
        0x82,
        level,
        0,
        host_cryptogram(greeting, derived),
        hides=Hides.NOTHING,
        name=f"EXTERNAL AUTHENTICATE, level {level:02X}",
    )
    # It always carries a MAC, whatever the level, and is neither encrypted nor counted.
    begun, command = wrap(Session(derived, SecurityLevel.C_MAC, greeting.mac_bytes), opening)
    return replace(begun, level=level, commands=0), command
