"""EV2 authentication and secure messaging of NTAG 424 DNA and MIFARE DESFire (public subset), the host's
side.

Sources: NXP NT4H2421Gx (9.1), AN12196, AN12343. The handshake and the messaging are pure functions over
frozen data, so that a home node can hold a session whose card stands at a far till; `Ev2Channel` drives them
over a `Processor`.
"""

from cards.ev2.change_key import change_key, change_session_key
from cards.ev2.channel import Ev2Channel, authenticate_first, authenticate_non_first
from cards.ev2.handshake import (
    Challenge,
    HandshakeFailed,
    answer_challenge,
    finish_first,
    finish_non_first,
    start_first,
    start_non_first,
)
from cards.ev2.messaging import CommMode, MessagingBroken, max_data_bytes, native, unwrap, whole_answer, wrap
from cards.ev2.session import MAX_COMMANDS, Session, session_keys
from cards.ev2.transaction_mac import transaction_mac_keys

__all__ = [
    "MAX_COMMANDS",
    "Challenge",
    "CommMode",
    "Ev2Channel",
    "HandshakeFailed",
    "MessagingBroken",
    "Session",
    "answer_challenge",
    "authenticate_first",
    "authenticate_non_first",
    "change_key",
    "change_session_key",
    "finish_first",
    "finish_non_first",
    "max_data_bytes",
    "native",
    "session_keys",
    "start_first",
    "start_non_first",
    "transaction_mac_keys",
    "unwrap",
    "whole_answer",
    "wrap",
]
