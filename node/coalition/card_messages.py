"""A chip card at a partner's till: the home node's commands go to it, and its answers come back.

Signed on no lane and kept by nobody: a conversation lives seconds, and what it proves is used up by a
RESERVE.
"""

from __future__ import annotations

from msgspec import Struct


class CardStep(Struct, frozen=True, array_like=True):
    """The acquirer's side: begins a conversation about a spend (no session), or brings the card's answer.

    With a `tap` it asks whether that is true and new; `session_id` then names the till's request, for which
    the tap is counted once where it `uses_up` it.
    """

    units: int
    identifier_commitment: bytes
    terminal_id: str
    session_id: bytes = b""
    response_apdu: bytes = b""
    tap: str = ""
    uses_up: bool = False


class CardStepped(Struct, frozen=True, array_like=True):
    """The home node's: the next command for the card; with none the spend is proved, or `refusal` says why
    not.
    """

    session_id: bytes
    command_apdu: bytes
    expire_time_ms: int
    refusal: str = ""
