"""Protecting commands and checking answers: pure functions over a frozen session (Amendment D, 6.2.4 to
6.2.7).
"""

from dataclasses import dataclass, replace

from cards.apdu import ApduMalformed, CardError, Command, Response, StatusWord
from cards.apdu.command import MAX_SHORT_LC, MAX_SHORT_LE
from cards.apdu.status import is_warning
from cards.crypto import (
    BLOCK_BYTES,
    PaddingWrong,
    cmac,
    decrypt_cbc,
    encrypt_block,
    encrypt_cbc,
    equal_in_constant_time,
    pad,
    unpad,
)
from cards.scp03.kdf import SessionKeys
from cards.scp03.level import SecurityLevel

_SECURE_MESSAGING = 0x04
_CHANNEL = 0x03
_RESPONSE_ICV = 0x80


class ChannelBroken(CardError):
    """An answer that the card of this session did not give, or was changed on its way. The session is
    over.
    """


@dataclass(frozen=True, slots=True)
class Session:
    """Where a secure channel stands: keys, level, the MAC that the next one chains to, commands so far."""

    keys: SessionKeys
    level: SecurityLevel
    mac_bytes: int = 8
    chaining_value: bytes = bytes(BLOCK_BYTES)
    commands: int = 0


def max_data_bytes(level: SecurityLevel, mac_bytes: int = 8) -> int:
    """The most data that a short command can carry at `level`."""
    room = MAX_SHORT_LC - (mac_bytes if level.macs_commands else 0)
    return room - room % BLOCK_BYTES - 1 if level.encrypts_commands else room


def wrap(session: Session, command: Command) -> tuple[Session, Command]:
    """The command as the card wants it, and the session after it.

    `ApduMalformed` if it outgrows a short command and is not marked `extended`: a chain below the channel
    would change the lengths that the MAC covers.
    """
    if not session.level.macs_commands:
        return session, command
    # A command without data encrypts nothing and yet counts (Amendment D, 6.2.6).
    counted = replace(session, commands=session.commands + 1)
    data = _encrypted(counted, command.data) if session.level.encrypts_commands else command.data
    length = len(data) + session.mac_bytes
    if length > MAX_SHORT_LC and not command.extended:
        raise ApduMalformed(
            f"{command.title}: too long by {length - MAX_SHORT_LC} bytes under the secure channel."
        )
    # The MAC covers the length of the data with the MAC itself.
    with_room = replace(command, cla=command.cla | _SECURE_MESSAGING, data=data + bytes(session.mac_bytes))
    on_channel_zero = bytes((with_room.cla & ~_CHANNEL,)) + with_room.header[1:]
    mac = cmac(session.keys.mac, session.chaining_value + on_channel_zero + with_room.encoded_lc + data)
    # The whole CMAC chains on, of which the card sees a part only.
    protected = replace(with_room, data=data + mac[: session.mac_bytes], le=_le(session, command))
    return replace(counted, chaining_value=mac), protected


def unwrap(session: Session, response: Response) -> Response:
    """The answer to the command that `session` last wrapped, checked and in the clear.

    `ChannelBroken` if its MAC is wrong or absent, also of an answer without data. An error carries no MAC,
    and so nothing of it counts but its status word.
    """
    if not session.level.macs_responses:
        return response
    if response.status != StatusWord.OK and not is_warning(response.status):
        return Response(b"", response.status)
    if len(response.data) < session.mac_bytes:
        raise ChannelBroken(
            "The card's answer carries no MAC. The session is over; nothing of it was believed."
        )
    data, mac = response.data[: -session.mac_bytes], response.data[-session.mac_bytes :]
    status = response.status.to_bytes(2, "big")
    wanted = cmac(session.keys.rmac, session.chaining_value + data + status)[: session.mac_bytes]
    if not equal_in_constant_time(mac, wanted):
        raise ChannelBroken(
            "The MAC of the card's answer is wrong. The session is over; nothing of it was believed."
        )
    if session.level.encrypts_responses and data:
        data = _decrypted(session, data)
    return Response(data, response.status)


def _le(session: Session, command: Command) -> int | None:
    # The MAC makes the answer longer than what the caller asked for.
    if command.le is None or not session.level.macs_responses:
        return command.le
    return max(command.le, MAX_SHORT_LE)


def _icv(session: Session, first_byte: int) -> bytes:
    return encrypt_block(
        session.keys.enc, bytes((first_byte,)) + session.commands.to_bytes(BLOCK_BYTES - 1, "big")
    )


def _encrypted(session: Session, data: bytes) -> bytes:
    return encrypt_cbc(session.keys.enc, _icv(session, 0), pad(data)) if data else b""


def _decrypted(session: Session, data: bytes) -> bytes:
    try:
        return unpad(decrypt_cbc(session.keys.enc, _icv(session, _RESPONSE_ICV), data))
    except (PaddingWrong, ValueError):
        raise ChannelBroken("The card's answer cannot be decrypted. The session is over.") from None
