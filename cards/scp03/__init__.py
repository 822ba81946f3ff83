"""GlobalPlatform Secure Channel Protocol 03 (Card Specification 2.3, Amendment D 1.2), the host's side.

`initialize` greets the card, `holds` tells without any risk whether a key set is the card's, `open_channel`
authenticates and gives a `Processor` that protects every command. The protection itself is pure: `wrap` and
`unwrap` over a frozen `Session`.
"""

from cards.scp03.channel import SecureChannel, initialize, open_channel
from cards.scp03.handshake import (
    CardNotAuthentic,
    ChannelNotOffered,
    Greeting,
    card_cryptogram,
    challenge_bytes_of,
    external_authenticate,
    holds,
    host_cryptogram,
    parse_greeting,
)
from cards.scp03.kdf import SessionKeys, StaticKeys, derive_session_keys
from cards.scp03.level import SecurityLevel
from cards.scp03.put_key import KeysNotTaken, encrypt_under_dek, parse_put_key_answer, put_key
from cards.scp03.session import ChannelBroken, Session, max_data_bytes, unwrap, wrap

__all__ = [
    "CardNotAuthentic",
    "ChannelBroken",
    "ChannelNotOffered",
    "Greeting",
    "KeysNotTaken",
    "SecureChannel",
    "SecurityLevel",
    "Session",
    "SessionKeys",
    "StaticKeys",
    "card_cryptogram",
    "challenge_bytes_of",
    "derive_session_keys",
    "encrypt_under_dek",
    "external_authenticate",
    "holds",
    "host_cryptogram",
    "initialize",
    "max_data_bytes",
    "open_channel",
    "parse_greeting",
    "parse_put_key_answer",
    "put_key",
    "unwrap",
    "wrap",
]
