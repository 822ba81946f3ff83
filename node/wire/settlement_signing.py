"""Who signed a close or a statement: signing, co-signing, and checking by the directory.

A signature is Ed25519 over the DSSE pre-authentication encoding of the document's type and its exact bytes,
so that none passes for another document's. A partner's key counts if it was valid at some moment between
the window's cut and the time of checking: keys change, signatures stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from node.coalition.directory import Directory, Window
from node.coalition.envelopes import Message
from node.coalition.lanes import heads_said
from node.coalition.messages import HeadAck, HelloReply
from node.identity.keys import KeyUnusable
from node.identity.signers import SignatureBroken, Signer, Verifier, verifier_from_uri
from node.settlement.documents import (
    OPERATOR_ID,
    CloseBasis,
    LaneEvidence,
    PairClose,
    Signature,
    SignedClose,
    SignedHead,
    StatementHead,
)
from node.wire.settlement import close_bytes, head_bytes

CLOSE_TYPE = "application/vnd.vafa.pair-close.v1"
HEAD_TYPE = "application/vnd.vafa.statement-head.v1"
HASHES_TYPE = "application/vnd.vafa.lane-hashes.v1"
MAX_CACHED_KEYS = 1_024

Open = Callable[[bytes], Message | None]
"""An Envelope's bytes as a verified message, None where it is not one; `wire.coalition.Opener.evidence`
serves.
"""


def signed_by(signer: Signer, signer_id: str, type_: str, document: bytes) -> Signature:
    """A signature over a document's bytes."""
    public_key = bytes.fromhex(signer.public_uri.removeprefix("ed25519:"))
    return Signature(signer_id, public_key, signer.sign(type_, document))


def holds(signature: Signature, type_: str, document: bytes) -> bool:
    """Whether the named key signed these bytes as that type; whose key it is, is not asked here."""
    try:
        _verifier(uri_of(signature)).verify(type_, document, signature.signature)
    except (SignatureBroken, KeyUnusable):
        return False
    return True


@lru_cache(maxsize=MAX_CACHED_KEYS)
def _verifier(uri: str) -> Verifier:
    return verifier_from_uri(uri)


def uri_of(signature: Signature) -> str:
    """The key as the directory names it."""
    return f"ed25519:{signature.public_key.hex()}"


def partner_signed(
    directory: Directory, signature: Signature, type_: str, document: bytes, since_ms: int, until_ms: int
) -> bool:
    """Whether a partner signed a document with a key that was valid at some time in [since, until]."""
    partner = directory.partner(signature.signer_id)
    key = partner.key(uri_of(signature)) if partner else None
    if key is None or key.not_before_ms > until_ms or (key.not_after_ms and key.not_after_ms <= since_ms):
        return False
    return holds(signature, type_, document)


def sign_close(close: PairClose, signer: Signer, signer_id: str) -> SignedClose:
    """A close signed by one side."""
    data = close_bytes(close)
    return SignedClose(close, data, (signed_by(signer, signer_id, CLOSE_TYPE, data),))


def cosign_close(signed: SignedClose, signer: Signer, signer_id: str) -> SignedClose:
    """The home node's close with the acquirer's signature after it, over the same bytes."""
    second = signed_by(signer, signer_id, CLOSE_TYPE, signed.close_bytes)
    return SignedClose(signed.close, signed.close_bytes, (signed.signatures[0], second))


def close_problem(
    directory: Directory, window: Window, signed: SignedClose, now_ms: int, open_: Open
) -> str | None:
    """What is wrong with a close's names, signatures or evidence, in words; None where nothing is."""
    close = signed.close
    if (close.coalition_id, close.window) != (directory.coalition_id, window.number):
        return "it is of another coalition or window"
    signers = tuple(one.signer_id for one in signed.signatures)
    if signers != required_signers(close):
        return f"it must be signed by {' and '.join(required_signers(close))}, in this order"
    for signature in signed.signatures:
        data = signed.close_bytes
        if not partner_signed(directory, signature, CLOSE_TYPE, data, window.cut_time_ms, now_ms):
            return f"the signature of {signature.signer_id} does not hold, or its key was not valid"
    return _evidence_problem(signed, open_)


def required_signers(close: PairClose) -> tuple[str, ...]:
    """Who must have signed a close, in order."""
    match close.basis:
        case CloseBasis.AGREED:
            return close.home_id, close.acquirer_id
        case CloseBasis.HOME_ALONE:
            return (close.home_id,)
        case CloseBasis.ACQUIRER_ALONE:
            return (close.acquirer_id,)


def _evidence_problem(signed: SignedClose, open_: Open) -> str | None:
    close = signed.close
    if close.basis is CloseBasis.AGREED:
        return "a close of both sides needs no evidence" if signed.evidence else None
    if [one.lane for one in signed.evidence] != [one.lane for one in close.lanes]:
        return "it does not show for each lane what the silent side signed"
    for lane, evidence in zip(close.lanes, signed.evidence, strict=True):
        said = said_of_lane(close, evidence, open_)
        if said != (lane.to_number, lane.end_hash):
            return f"what the silent side signed of lane {lane.lane} is not where the close ends"
    return None


def said_of_lane(close: PairClose, evidence: LaneEvidence, open_: Open) -> tuple[int, bytes] | None:
    """The (number, hash) of a lane that the silent side signed towards the other; None where it did not.

    A home node says it by POSTED or HELLO, an acquirer by HEAD_ACK or HELLO_REPLY.
    """
    message = open_(evidence.envelope)
    if message is None or message.header.lane != evidence.lane:
        return None
    home_silent = close.basis is CloseBasis.ACQUIRER_ALONE
    silent, other = (close.home_id, close.acquirer_id) if home_silent else (close.acquirer_id, close.home_id)
    if (message.header.sender_id, message.header.receiver_id) != (silent, other):
        return None
    if home_silent:
        said = heads_said(message)
        return said[1:] if said else None
    if isinstance(message.body, HeadAck | HelloReply):
        return message.body.head.number, message.body.head.hash
    return None


def sign_head(head: StatementHead, signer: Signer) -> SignedHead:
    """A statement's head, signed by the operator."""
    data = head_bytes(head)
    return SignedHead(head, data, signed_by(signer, OPERATOR_ID, HEAD_TYPE, data))


def operator_signed(head: SignedHead, operator_uris: Iterable[str]) -> bool:
    """Whether one of the operator's keys signed a head."""
    signature = head.signature
    known = signature.signer_id == OPERATOR_ID and uri_of(signature) in set(operator_uris)
    return known and holds(signature, HEAD_TYPE, head.head_bytes)
