"""Whose a store's receipt number is: one decision, wherever the claim lies.

A number is one request's at a time, and a request is its terminal, its id and its body: one that uses an id
again for another member is another request, wherever that member's account lies.
"""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from node.actors.desk import reversed_before
from node.ledger.refusals import Reason, Refused, refuse
from node.storage.keyspace import partition_of
from node.wire.commands import ReceiptWish
from node.wire.records import ReceiptClaim

_BODY_BYTES = 8


def place_of(store_id: str, receipt_number: str, partitions: int) -> tuple[int, bytes]:
    """(partition, digest): where a store's receipt is claimed, and under what."""
    store = store_id.encode()
    whole = hashlib.sha256(len(store).to_bytes(2, "big") + store + receipt_number.encode()).digest()
    return partition_of(whole[:16], partitions), whole[:16]


def claim_of(scope: str, request_id: str, body_hash: bytes, at_ms: int = 0, placed: int = -1) -> ReceiptClaim:
    """The claim of a request; `body_hash` is keyed, as it is kept of the request itself."""
    return ReceiptClaim(scope, request_id, at_ms, body=body_hash[:_BODY_BYTES], placed=placed)


def wished(wish: ReceiptWish) -> ReceiptClaim:
    """The claim that another shard asks for."""
    return claim_of(wish.scope, wish.request_id, wish.body_hash, wish.at_ms, wish.placed)


def let_go_of(claim: ReceiptClaim, digest: bytes) -> ReceiptWish:
    """The wish by which a claim is let go whose request was reversed."""
    return ReceiptWish(digest, claim.scope, claim.request_id, for_good=True, body_hash=claim.body)


def taken(held: ReceiptClaim | None, claim: ReceiptClaim) -> ReceiptClaim | Refused | None:
    """What is to be written for a request that wants the number, of which `held` is known; None where it has
    it already, and goes where it went before (a member who joined a pool since is served there).

    Refused as REQUEST_REVERSED where it had the number, and was reversed: the account may know what it was
    told then, but posts nothing. Refused as DUPLICATE_RECEIPT where the number is another request's.
    """
    if held is None:
        return claim
    own = held.same_request(claim)
    if held.is_past(claim) or (own and held.let_go):
        return reversed_before()
    if own:
        return None if claim.placed == held.placed else replace(held, placed=claim.placed)
    if not held.let_go:
        return refuse(
            Reason.DUPLICATE_RECEIPT,
            "This store has posted a purchase with this receipt number before. Nothing was recorded.",
            scope=held.scope,
            request_id=held.request_id,
        )
    return held.passed_to(claim)


def released(held: ReceiptClaim, claim: ReceiptClaim, *, for_good: bool) -> ReceiptClaim | None:
    """What is left of the number when a request lets it go: `held` itself where it is another's, None for
    nothing. `for_good` where the request was reversed; else it came to nothing, and may come again.
    """
    if not held.same_request(claim):
        return held
    if for_good or held.let_go:  # that it was reversed is not forgotten
        return replace(held, let_go=True)
    return held.forgotten()
