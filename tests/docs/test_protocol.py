"""What docs/protocol.md tells whoever writes another node is what this node does."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.coalition.messages import ExchangeReason, MessageType
from node.proto.vafa.coalition.v1 import envelope_pb2, exchange_pb2
from tests.docs import protocol_page as page

TEXT = page.PAGE.read_text("utf-8")


def test_every_table_and_every_byte_on_the_page_is_the_codes() -> None:
    assert page.drawn(TEXT) == TEXT, "run: python -m tests.docs.protocol_page"


def test_every_message_and_every_reason_is_on_the_page() -> None:
    for name in (*MessageType.__members__, *ExchangeReason.__members__):
        assert name == "UNSPECIFIED" or name in TEXT, name


def test_the_examples_verify_by_the_words_of_the_page_alone() -> None:
    """As another node would: no function of ours but the generated protos."""
    asked, word = page.accrue(), page.posted()
    for message, seed in ((asked, b"s" * 32), (word, b"n" * 32)):
        kind = b"application/vnd.vafa.exchange.v1"
        header = message.header_bytes
        lengths = [str(len(part)).encode() for part in (kind, header)]
        pae = b" ".join((b"DSSEv1", lengths[0], kind, lengths[1], header))
        key = Ed25519PrivateKey.from_private_bytes(seed).public_key()
        key.verify(message.signature, pae)
        read = envelope_pb2.Header.FromString(header)
        assert read.key_uri == "ed25519:" + key.public_bytes_raw().hex()
        assert read.body_hash == hashlib.sha256(message.body_bytes).digest()
    posted = exchange_pb2.Posted.FromString(word.body_bytes)
    core = exchange_pb2.PostedCore.FromString(posted.core)
    assert core.request_hash == hashlib.sha256(asked.header_bytes).digest()
    parts = [len(part).to_bytes(8, "big") + part for part in (asked.header_bytes, posted.core)]
    chained = b"vafa lane record v1\x00" + bytes(32) + b"".join(parts)
    assert posted.hash == hashlib.sha256(chained).digest()
    accrue = exchange_pb2.Accrue.FromString(asked.body_bytes)
    salted = len(page.SALT).to_bytes(8, "big") + page.SALT + b"\x016273000011000001"
    assert accrue.identifier_commitment == hashlib.sha256(salted).digest()
