"""Whether both sides signed a record: the check behind disputes, closes by one side alone, and audits of
samples.

Per record it reads two headers and no body, so that nearly all of the time is the signatures' own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from google.protobuf.message import DecodeError
from msgspec import Struct

from node.coalition.directory import Directory
from node.coalition.envelopes import Envelope
from node.identity.keys import KeyUnusable
from node.identity.signers import SignatureBroken, Verifier, verifier_from_uri
from node.proto.vafa.coalition.v1 import envelope_pb2, exchange_pb2
from node.settlement.disputes import Shown
from node.wire.coalition import PAYLOAD_TYPE
from node.wire.coalition_store import LaneEntry
from node.wire.settlement_fields import DocumentUnreadable, parsed

_REQUESTS = frozenset(
    {
        envelope_pb2.MESSAGE_TYPE_CAPTURE,
        envelope_pb2.MESSAGE_TYPE_ACCRUE,
        envelope_pb2.MESSAGE_TYPE_RETURN,
    }
)
_POSTED = frozenset({envelope_pb2.MESSAGE_TYPE_POSTED})


class _KnownKey(Struct, frozen=True):
    verifier: Verifier
    not_before_ms: int
    not_after_ms: int


class RecordSignatures:
    """The signatures of records, by the keys of one directory."""

    def __init__(self, directory: Directory) -> None:
        self._coalition_id = directory.coalition_id
        self._keys = {
            (partner.partner_id, key.uri): _KnownKey(
                verifier_from_uri(key.uri), key.not_before_ms, key.not_after_ms
            )
            for partner in directory.partners
            for key in partner.keys
        }

    def check(self, record: LaneEntry, home_id: str, acquirer_id: str) -> Shown:
        """A record as it counts in a dispute of this pair: who really signed it. DocumentUnreadable.

        The home node's signature counts over a POSTED whose core names the request, the acquirer's over a
        request that asks for it; a cut answers nothing, so nothing is missing from it.
        """
        posted, request = record.posted, record.request
        home = self._signed(posted, home_id, acquirer_id, _POSTED)
        body = parsed(exchange_pb2.Posted, posted.body)
        core = parsed(exchange_pb2.PostedCore, body.core)
        if core.kind == exchange_pb2.RECORD_KIND_CUT:
            return Shown(body.hash, home, request is None)
        if request is None or core.request_hash != hashlib.sha256(request.header).digest():
            return Shown(body.hash, home, acquirer_signed=False)
        acquirer = self._signed(request, acquirer_id, home_id, _REQUESTS)
        return Shown(body.hash, home, acquirer)

    def _signed(self, envelope: Envelope, sender: str, receiver: str, types: frozenset[int]) -> bool:
        signed = envelope.header
        try:
            header = envelope_pb2.Header.FromString(signed)
        except DecodeError:
            return False
        key = self._keys.get((sender, header.key_uri))
        if key is None or header.type not in types or header.coalition_id != self._coalition_id:
            return False
        if header.sender_id != sender or header.receiver_id != receiver:
            return False
        issued_ms = header.issue_time.seconds * 1000 + header.issue_time.nanos // 1_000_000
        if issued_ms < key.not_before_ms or (key.not_after_ms and issued_ms >= key.not_after_ms):
            return False
        if hashlib.sha256(envelope.body).digest() != header.body_hash:
            return False
        try:
            key.verifier.verify(PAYLOAD_TYPE, signed, envelope.signature)
        except SignatureBroken:
            return False
        return True


def shown(check: Callable[[], Shown]) -> Shown | None:
    """What `check` gives; a record that cannot be read counts as one that nobody signed."""
    try:
        return check()
    except (DocumentUnreadable, KeyUnusable):
        return Shown(b"", home_signed=False, acquirer_signed=False)
