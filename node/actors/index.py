"""The identifier index and the receipt claims of a partition: steps that concern no account's state.

The index only finds accounts; the account's own links are the truth. Linking goes: CLAIM here, link on the
account, CONFIRM here; a sweep finishes or releases what a crash left claimed. Every step may be repeated.
"""

from __future__ import annotations

import msgspec
import structlog
from msgspec.structs import replace

from node.actors import receipts
from node.actors.desk import id_reused, reversed_before
from node.actors.work import Work
from node.ledger.events import Sold
from node.ledger.refusals import Reason, Refused, refuse
from node.storage import keyspace
from node.storage.keyspace import Kind
from node.storage.store import StoreError
from node.wire import records
from node.wire.coalition_records import SaleFound
from node.wire.commands import (
    Answer,
    Command,
    LinkWish,
    Op,
    Placing,
    ReceiptWish,
    RequestLook,
    done,
    encode,
    refused,
)
from node.wire.records import IndexEntry, Ownership, RequestRecord
from node.wire.steps import ClaimsAsked, ClaimsFound

log = structlog.get_logger()

_WISH = msgspec.msgpack.Decoder(LinkWish)
_RECEIPT = msgspec.msgpack.Decoder(ReceiptWish)
_PLACING = msgspec.msgpack.Decoder(Placing)
_REQUEST = msgspec.msgpack.Decoder(RequestLook)
_ASKED = msgspec.msgpack.Decoder(ClaimsAsked)
_SEQUENCE = msgspec.msgpack.Decoder(int)

MAX_OWNERS = 32
"""Owners of one identifier over time that are remembered; the oldest are forgotten."""


def handle(command: Command, work: Work) -> Answer:
    """One step on the index or the receipts of `command.partition`."""
    try:
        return _STEPS[command.op](command, work)
    except StoreError:
        raise
    except Exception as fault:  # steps put their changes last, so nothing of this one is in the batch
        log.error("step_faulted", operation=command.op, fault=type(fault).__name__)
        return refused(refuse(Reason.INTERNAL, "A fault inside the node; the step was not taken."))


def _load(command: Command, work: Work, digest: bytes) -> tuple[bytes, IndexEntry]:
    key = keyspace.identifier_key(command.partition, digest)
    data = work.get(key)
    return key, IndexEntry(()) if data is None else records.INDEX.decode(data)


def _resolve(command: Command, work: Work) -> Answer:
    """The owners of an identifier, confirmed ones only, for the gateway to choose by time."""
    _, entry = _load(command, work, command.digest)
    return done(encode(IndexEntry(tuple(owner for owner in entry.owners if owner.confirmed))))


def _claim(command: Command, work: Work) -> Answer:
    """Claims an identifier for an account, unless another one has it or is getting it."""
    wish = _WISH.decode(command.body)
    key, entry = _load(command, work, wish.digest)
    for owner in entry.owners:
        if owner.until_ms == 0:
            if owner.account_id != wish.account_id:
                return refused(
                    refuse(Reason.IDENTIFIER_TAKEN, "The identifier belongs to another account already.")
                )
            return done(encode(owner))
    # The first owner ever has had it always: a till whose clock is slow, or an offline sale of the day, still
    # finds the account. Later owners have it from the moment of the claim.
    since_ms = max(wish.at_ms, *(owner.until_ms for owner in entry.owners)) if entry.owners else 0
    claim = Ownership(wish.account_id, since_ms, claimed_at_ms=wish.at_ms)
    owners = (*entry.owners, claim)[-MAX_OWNERS:]
    work.put(key, records.INDEX.encode(IndexEntry(owners)))
    return done(encode(claim))


def _confirm(command: Command, work: Work) -> Answer:
    wish = _WISH.decode(command.body)
    key, entry = _load(command, work, wish.digest)
    owners = tuple(
        replace(owner, confirmed=True)
        if owner.account_id == wish.account_id and owner.until_ms == 0
        else owner
        for owner in entry.owners
    )
    if owners != entry.owners:
        work.put(key, records.INDEX.encode(IndexEntry(owners)))
    return done(b"")


def _end(command: Command, work: Work) -> Answer:
    """Ends an ownership at `at_ms`; a claim that was never confirmed vanishes."""
    wish = _WISH.decode(command.body)
    key, entry = _load(command, work, wish.digest)
    owners = tuple(
        replace(owner, until_ms=wish.at_ms)
        if owner.account_id == wish.account_id and not owner.until_ms
        else owner
        for owner in entry.owners
        if owner.confirmed or owner.account_id != wish.account_id
    )
    if owners != entry.owners:
        if owners:
            work.put(key, records.INDEX.encode(IndexEntry(owners)))
        else:
            work.delete(key)
    return done(b"")


def _claim_receipt(command: Command, work: Work) -> Answer:
    """The answer has a byte where the receipt was not this request's before."""
    wish = _RECEIPT.decode(command.body)
    key = keyspace.receipt_key(command.partition, wish.digest)
    data = work.get(key)
    held = None if data is None else records.RECEIPT.decode(data)
    claim = receipts.taken(held, receipts.wished(wish))
    if isinstance(claim, Refused):
        return refused(claim)
    if claim is None:
        return done(b"")
    work.put(key, records.RECEIPT.encode(claim))
    return done(b"" if held is not None and held.same_request(claim) else b"\x01")


def _place_request(command: Command, work: Work) -> Answer:
    """Notes where a request without a member is done, unless it was reversed before, or is another one."""
    wish = _PLACING.decode(command.body)
    key = keyspace.request_key(command.partition, wish.scope, wish.request_id)
    record = work.request_at(key)
    if record is None:
        pointer = RequestRecord(b"", 0, wish.occurred_ms, wish.occurred_ms, b"", placed=wish.partition)
        work.put(key, records.REQUEST.encode(pointer))
    elif record.reversed_unseen:
        return refused(reversed_before())
    elif record.placed != wish.partition:
        return refused(id_reused())
    return done(b"")


def _release_receipt(command: Command, work: Work) -> Answer:
    wish = _RECEIPT.decode(command.body)
    key = keyspace.receipt_key(command.partition, wish.digest)
    data = work.get(key)
    if data is not None:
        held = records.RECEIPT.decode(data)
        left = receipts.released(held, receipts.wished(wish), for_good=wish.for_good)
        if left is None:
            work.delete(key)
        else:
            work.put(key, records.RECEIPT.encode(left))
    return done(b"")


def _look_receipt(command: Command, work: Work) -> Answer:
    """The claim as it is stored; nothing where nobody has the receipt."""
    return done(work.get(keyspace.receipt_key(command.partition, command.body)) or b"")


def _look_request(command: Command, work: Work) -> Answer:
    """Whether a request was reversed, before it arrived or after; what is not known here may still come."""
    wish = _REQUEST.decode(command.body)
    record = work.request(command.partition, wish.scope, wish.request_id)
    undone = record is not None and (
        record.reversed_unseen or work.amendment(command.partition, record.sequence).reversed_ms > 0
    )
    return done(encode(undone))


def _list_claims(command: Command, work: Work) -> Answer:
    """Claims that stand unconfirmed for long, from one bounded stretch of the index."""
    asked = _ASKED.decode(command.body)
    start, end = keyspace.kind_range(command.partition, Kind.IDENTIFIER)
    pairs = list(work.scan(max(start, asked.start), end, asked.limit))
    claims = tuple(
        (owner.account_id, keyspace.parse_id(key, Kind.IDENTIFIER)[1])
        for key, value in pairs
        for owner in records.INDEX.decode(value).owners
        if not owner.confirmed and owner.claimed_at_ms < asked.before_ms
    )
    return done(encode(ClaimsFound(claims, pairs[-1][0] + b"\x00" if len(pairs) == asked.limit else b"")))


def _drop_outbox(command: Command, work: Work) -> Answer:
    """Drops an outbox entry that has been delivered; one that is gone already is no matter."""
    work.delete(keyspace.outbox_key(command.partition, _SEQUENCE.decode(command.body)))
    return done(b"")


def _release_quarantined(command: Command, work: Work) -> Answer:
    """Forgets that an account was set aside; its actor finds out when it is next asked anything."""
    if len(command.account_id) != keyspace.ID_BYTES:
        return refused(refuse(Reason.INVALID_ARGUMENT, "That is no account id.", field="account_id"))
    work.delete(keyspace.quarantine_key(command.partition, command.account_id))
    return done(b"")


def _look_sale(command: Command, work: Work) -> Answer:
    """An anonymous sale with what came back of it."""
    sequence = _SEQUENCE.decode(command.body)
    stored = work.entry(command.partition, sequence)
    event = stored.entry.events[0] if stored is not None and stored.entry.events else None
    if stored is None or not isinstance(event, Sold):
        return refused(refuse(Reason.TRANSACTION_NOT_FOUND, "There is no such sale."))
    amended = work.amendment(command.partition, sequence)
    entry = stored.entry
    return done(
        encode(SaleFound(event.purchase, entry.occurred_ms, amended, entry.terminal, entry.request_id))
    )


_STEPS = {
    Op.RESOLVE: _resolve,
    Op.CLAIM_IDENTIFIER: _claim,
    Op.CONFIRM_IDENTIFIER: _confirm,
    Op.END_IDENTIFIER: _end,
    Op.CLAIM_RECEIPT: _claim_receipt,
    Op.RELEASE_RECEIPT: _release_receipt,
    Op.PLACE_REQUEST: _place_request,
    Op.LIST_CLAIMS: _list_claims,
    Op.DROP_OUTBOX: _drop_outbox,
    Op.RELEASE_QUARANTINED: _release_quarantined,
    Op.LOOK_SALE: _look_sale,
    Op.LOOK_RECEIPT: _look_receipt,
    Op.LOOK_REQUEST: _look_request,
}
STEPS = frozenset(_STEPS)
