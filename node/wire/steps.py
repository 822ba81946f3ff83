"""The node's own steps between partitions, as the commands of accounts: msgpack in, plain data out.

A step is idempotent by its request id like any other request, under a scope that no terminal can have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from node.ledger.account import Account, AccountKind, Link
from node.ledger.commands import TransactionRef
from node.ledger.events import Claimed
from node.ledger.lots import Lots
from node.ledger.purchase import Purchase
from node.ledger.refusals import Refused
from node.ledger.transactions import Entry
from node.wire.commands import Op, encode
from node.wire.parse import Parsed, invalid, transaction_id

STEP_SCOPE = "/node"
"""The scope of the node's own requests: a terminal's scope never begins with a slash."""


class TakeSale(Struct, frozen=True, array_like=True):
    """Mark an anonymous sale as the claimant's."""

    request_id: str
    at_ms: int
    partition: int
    sequence: int
    claimant: bytes

    @property
    def sale(self) -> TransactionRef:
        """Where the sale lies."""
        return TransactionRef(self.partition, self.sequence)


class ReleaseSale(Struct, frozen=True, array_like=True):
    """Free a sale again whose claim came to nothing: the one that took it by the request `taken_by`."""

    request_id: str
    at_ms: int
    partition: int
    sequence: int
    taken_by: str

    @property
    def sale(self) -> TransactionRef:
        """Where the sale lies."""
        return TransactionRef(self.partition, self.sequence)


class TakenSale(Struct, frozen=True, array_like=True):
    """The sale that was taken, for the claimant's account to earn on."""

    purchase: Purchase
    sold_ms: int
    claimed_from: str


class TransferPart(Struct, frozen=True, array_like=True):
    """What of one purse a transfer carries: the very lots."""

    purse: str
    lots: Lots


class ReceiveTransfer(Struct, frozen=True, array_like=True):
    """Take in units that left another account, all parts or none."""

    request_id: str
    at_ms: int
    transfer_id: str
    from_account: bytes
    parts: tuple[TransferPart, ...]


class CloseTransfer(Struct, frozen=True, array_like=True):
    """Note on the sender how its transfer ended; its parts come back where it was not accepted.

    `outbox_sequence` is the outbox entry of the transfer, which goes in the same batch.
    """

    request_id: str
    at_ms: int
    transfer_id: str
    accepted: bool
    parts: tuple[TransferPart, ...]
    outbox_sequence: int


class SetHolder(Struct, frozen=True, array_like=True):
    """Note on a pool that an account joined or left it.

    `unproven`: the account has not joined yet, so the pool puts a look at it into its outbox.
    """

    request_id: str
    at_ms: int
    holder: bytes
    joined: bool
    unproven: bool = False


class AccountView(Struct, frozen=True, array_like=True):
    """What other partitions must agree with an account about: identifiers, its pool, its holders.

    `erased` says that its person was erased.
    """

    links: tuple[Link, ...]
    pool_id: bytes
    holders: tuple[bytes, ...]
    erased: bool = False


class ClaimsAsked(Struct, frozen=True, array_like=True):
    """Claims of a partition that stand unconfirmed since before `before_ms`, of `limit` keys from `start`."""

    start: bytes
    before_ms: int
    limit: int


class ClaimsFound(Struct, frozen=True, array_like=True):
    """(account, digest) of unconfirmed claims, and the key to go on from; empty at the end."""

    claims: tuple[tuple[bytes, bytes], ...]
    next_start: bytes


class LinkAgreement(Struct, frozen=True, array_like=True):
    """In the outbox: the index must agree with what an account did to these identifiers.

    `erased_person` is who was erased with it, for the list that a restore replays; empty where nobody was.
    """

    digests: tuple[bytes, ...]
    erased_person: bytes = b""


class HolderAgreement(Struct, frozen=True, array_like=True):
    """In the outbox: a pool's note of a holder must agree with the holder's account."""

    pool_id: bytes
    holder: bytes


_KINDS: dict[Op, msgspec.msgpack.Decoder[Any]] = {
    Op.TAKE_SALE: msgspec.msgpack.Decoder(TakeSale),
    Op.RELEASE_SALE: msgspec.msgpack.Decoder(ReleaseSale),
    Op.RECEIVE_TRANSFER: msgspec.msgpack.Decoder(ReceiveTransfer),
    Op.CLOSE_TRANSFER: msgspec.msgpack.Decoder(CloseTransfer),
    Op.SET_HOLDER: msgspec.msgpack.Decoder(SetHolder),
}

STEPS = frozenset(_KINDS)
TAKEN_SALE = msgspec.msgpack.Decoder(TakenSale)


def parse_step(op: Op, body: bytes, store_id: str, currency: str) -> Parsed[Any] | Refused:
    """A step of the node's own."""
    try:
        step = _KINDS[op].decode(body)
    except msgspec.DecodeError:
        return invalid("", "The bytes are not a step of this kind.")
    return Parsed(step.request_id, step.at_ms, hashlib.sha256(body).digest()[:16], step)


def answer_step(
    op: Op, partition: int, entry: Entry, account: Account, purses: Mapping[str, Any], currency: str
) -> bytes:
    """What a step leaves for whoever takes it again: that it is done, or the sale that was taken."""
    event = entry.events[0]
    if isinstance(event, Claimed) and event.purchase is not None:
        claimed_from = transaction_id(partition, event.original)
        return encode(TakenSale(event.purchase, event.sold_ms, claimed_from))
    return b"\x01"


def parse_probe(op: Op, body: bytes, store_id: str, currency: str) -> Parsed[Any] | Refused:
    """A look at an account, which has no body."""
    return Parsed("", 0, b"", None)


def account_view(account: Account) -> bytes:
    """What other partitions must agree with an account about."""
    holders = account.holders if account.kind is AccountKind.POOL else ()
    return encode(AccountView(account.links, account.pool_id, holders, account.erased))


def taking_id(scope: str, request_id: str) -> str:
    """The id of the step that takes the sale for a claim: one claim takes once, however often it is sent."""
    return f"claim-{hashlib.sha256(f'{scope}{chr(0)}{request_id}'.encode()).hexdigest()[:32]}"


def release_of(sale: TransactionRef, scope: str, request_id: str, at_ms: int) -> ReleaseSale:
    """The step that frees the sale which that claim took."""
    taken_by = taking_id(scope, request_id)
    return ReleaseSale(f"release-{taken_by}", at_ms, sale.partition, sale.sequence, taken_by)
