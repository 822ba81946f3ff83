"""EV2 secure messaging: plain, MACed, fully encrypted (NT4H2421Gx 9.1.8 to 9.1.10).

A command's header (what comes before its data) is never encrypted; the MAC covers all. The answer uses the
command's counter plus one.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from cards.apdu import ApduMalformed, CardError, CardRefused, Command, Hides, Processor, Response, StatusWord
from cards.crypto import PaddingWrong, decrypt_cbc, encrypt_cbc, equal_in_constant_time, pad, unpad
from cards.ev2.handshake import INS_MORE
from cards.ev2.session import MAX_COMMANDS, Session, command_iv, mac_over, response_iv

MAC_BYTES = 8
MAX_FRAME_BYTES = 255
MAX_FRAMES = 16
"""How many frames one answer may come in; GetVersion has three."""
_CLA = 0x90


class CommMode(Enum):
    """How a command and its answer travel."""

    PLAIN = 0
    MAC = 1
    FULL = 3


class MessagingBroken(CardError):
    """An answer that the card of this session did not give, or was changed on its way. The session is
    over.
    """


def native(
    ins: int, header: bytes = b"", data: bytes = b"", *, name: str, hides: Hides = Hides.NOTHING
) -> Command:
    """A native command in its ISO wrapping: class 90, all that it carries in the data, as much answer as
    there is.
    """
    return Command(_CLA, ins, 0, 0, header + data, le=256, hides=hides, name=name)


def max_data_bytes(mode: CommMode, header_bytes: int) -> int:
    """The most data that one command can carry after a header of `header_bytes`."""
    room = MAX_FRAME_BYTES - header_bytes - (0 if mode is CommMode.PLAIN else MAC_BYTES)
    return room - room % 16 - 1 if mode is CommMode.FULL else room


def wrap(session: Session, command: Command, header_bytes: int, mode: CommMode) -> Command:
    """`command` (by `native`) as it goes to the card, of which the first `header_bytes` stay in the clear.

    `MessagingBroken` when the session has carried all it can; `ApduMalformed` when the command is too long.
    """
    if session.commands >= MAX_COMMANDS:
        raise MessagingBroken("The session has carried all the commands it can. Authenticate again.")
    header, data = command.data[:header_bytes], command.data[header_bytes:]
    if len(data) > max_data_bytes(mode, header_bytes):
        raise ApduMalformed(
            f"{command.title}: {len(data)} bytes are too many for one command. Nothing was sent."
        )
    if mode is CommMode.FULL and data:
        data = encrypt_cbc(session.enc, command_iv(session), pad(data))
    if mode is CommMode.PLAIN:
        return command
    mac = mac_over(session, command.ins, session.commands, header + data)
    return replace(command, data=header + data + mac)


def unwrap(
    session: Session, response: Response, mode: CommMode, *, title: str, allowed: Sequence[int] = ()
) -> tuple[Session, bytes]:
    """The next session, and the answer's data in the clear.

    `CardRefused` for an error, which carries no MAC and ends the card's session. `MessagingBroken` if the MAC
    is wrong or absent, also when there is no data. `allowed` are the status words taken as success, 9100 by
    default.
    """
    if response.status not in (allowed or (StatusWord.DF_OK,)):
        raise CardRefused(title, response.status)
    after = replace(session, commands=session.commands + 1)
    if mode is CommMode.PLAIN:
        return after, response.data
    if len(response.data) < MAC_BYTES:
        raise MessagingBroken(
            f"{title}: the answer carries no MAC. The session is over; nothing of it was believed."
        )
    data, mac = response.data[:-MAC_BYTES], response.data[-MAC_BYTES:]
    if not equal_in_constant_time(mac, mac_over(session, response.status & 0xFF, after.commands, data)):
        raise MessagingBroken(
            f"{title}: the answer's MAC is wrong. The session is over; nothing of it was believed."
        )
    if mode is CommMode.FULL and data:
        data = _decrypted(session, data, title)
    return after, data


def whole_answer(card: Processor, command: Command) -> Response:
    """The answer to a command outside of sessions whose answer may come in several frames (91AF), such as
    GetVersion.

    `ApduMalformed` when the frames do not end.
    """
    answer = card.send(command)
    data = bytearray(answer.data)
    for _ in range(MAX_FRAMES):
        if answer.status != StatusWord.DF_ADDITIONAL_FRAME:
            return Response(bytes(data), answer.status)
        answer = card.send(native(INS_MORE, name=f"{command.title}, next frame", hides=command.hides))
        data += answer.data
    raise ApduMalformed(f"{command.title}: the card's answer does not end. Take the card off.")


def _decrypted(session: Session, data: bytes, title: str) -> bytes:
    try:
        return unpad(decrypt_cbc(session.enc, response_iv(session), data))
    except (PaddingWrong, ValueError):
        raise MessagingBroken(f"{title}: the answer cannot be decrypted. The session is over.") from None
