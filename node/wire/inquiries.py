"""Questions of tills: requests in, responses out. They change nothing and need no request id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct

from node.ledger.account import Account, Status
from node.ledger.awards import Award
from node.ledger.purchase import Purchase
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.spending import spendable_units
from node.proto.vafa.common.v1 import money_pb2, transaction_pb2
from node.proto.vafa.pos.v1 import inquiry_pb2
from node.wire.balances import Purses, award_effects, balances, stamp
from node.wire.commands import Op
from node.wire.parse import Parsed, bad_request_id, decode, invalid, is_request_id, time_ms
from node.wire.purchases import purchase_from

DEFAULT_PAGE = 50
MAX_PAGE = 500


class Quote(Struct, frozen=True):
    """What would this purchase bring?"""

    purchase: Purchase


class FindTransaction(Struct, frozen=True):
    """What became of this request?"""

    request_id: str


class Page(Struct, frozen=True):
    """A page of the statement: entries up to `before` (0: from the newest)."""

    size: int
    before: int


def parse_inquiry(op: Op, body: bytes, store_id: str, currency: str) -> Parsed[Any] | Refused:
    """A till's question; `occurred_ms` is 0 where it is about now."""
    return _PARSERS[op](body, store_id)


def _simple(kind: type) -> Callable[[bytes, str], Parsed[Any] | Refused]:
    def parse(body: bytes, store_id: str) -> Parsed[Any] | Refused:
        return decode(kind(), body) or Parsed("", 0, b"", None)

    return parse


def _quote(body: bytes, store_id: str) -> Parsed[Any] | Refused:
    message = inquiry_pb2.QuoteRequest()
    problem = decode(message, body)
    if problem:
        return problem
    if not message.HasField("purchase"):
        return invalid("purchase", "The purchase is missing.")
    occurred_ms = time_ms(message.occurred_time, "occurred_time") if message.HasField("occurred_time") else 0
    purchase = purchase_from(message.purchase, store_id)
    if isinstance(occurred_ms, Refused):
        return occurred_ms
    return purchase if isinstance(purchase, Refused) else Parsed("", occurred_ms, b"", Quote(purchase))


def _find(body: bytes, store_id: str) -> Parsed[Any] | Refused:
    message = inquiry_pb2.GetTransactionRequest()
    problem = decode(message, body)
    if problem:
        return problem
    if not is_request_id(message.request_id):
        return bad_request_id()
    occurred_ms = time_ms(message.occurred_time, "occurred_time") if message.HasField("occurred_time") else 0
    if isinstance(occurred_ms, Refused):
        return occurred_ms
    return Parsed("", occurred_ms, b"", FindTransaction(message.request_id))


def _page(body: bytes, store_id: str) -> Parsed[Any] | Refused:
    message = inquiry_pb2.ListStatementRequest()
    problem = decode(message, body)
    if problem:
        return problem
    if not message.page_size >= 0:
        return invalid("page_size", "A page has at least 1 transaction.")
    before = 0
    if message.page_token:
        token = message.page_token
        if not (token.isascii() and token.isdigit() and len(token) < 20):
            return refuse(Reason.INVALID_CURSOR, "The page token is not one of this node's.")
        before = int(token)
    return Parsed("", 0, b"", Page(min(message.page_size or DEFAULT_PAGE, MAX_PAGE), before))


_PARSERS: dict[Op, Callable[[bytes, str], Parsed[Any] | Refused]] = {
    Op.IDENTIFY: _simple(inquiry_pb2.IdentifyRequest),
    Op.GET_BALANCE: _simple(inquiry_pb2.GetBalanceRequest),
    Op.QUOTE: _quote,
    Op.GET_TRANSACTION: _find,
    Op.LIST_STATEMENT: _page,
}


def identified(
    account: Account, purses: Purses, currency: str, now_ms: int, display_name: str, locale: str
) -> bytes:
    """Who this is, as a till may see it."""
    entitlements = [
        right.code
        for right in account.entitlements
        if right.from_ms <= now_ms and (not right.until_ms or now_ms < right.until_ms)
    ]
    return inquiry_pb2.IdentifyResponse(
        account_id=account.account_id.hex(),
        display_name=display_name,
        status=_STATUS[account.status],
        balances=balances(account, purses, currency),
        entitlements=entitlements,
        locale=locale,
    ).SerializeToString()


_STATUS = {
    Status.ACTIVE: inquiry_pb2.ACCOUNT_STATUS_ACTIVE,
    Status.BLOCKED: inquiry_pb2.ACCOUNT_STATUS_BLOCKED,
    Status.CLOSED: inquiry_pb2.ACCOUNT_STATUS_CLOSED,
}


def quoted(
    purchase: Purchase, awards: Sequence[Award], account: Account, purses: Purses, currency: str, version: int
) -> bytes:
    """What a purchase would bring, and the most that each purse could pay of it."""
    response = inquiry_pb2.QuoteResponse(programme_version=version, effects=award_effects(awards, purses))
    for definition in purses.values():
        if definition.rate is None or not definition.spendable_at(purchase.channel, purchase.store_id):
            continue
        whole = definition.rate.units_for(max(0, purchase.total_minor))
        units = min(spendable_units(account.purse(definition.code), definition), whole)
        if units > 0 and account.status is Status.ACTIVE:
            worth = min(definition.rate.worth_minor(units), purchase.total_minor)
            response.spend_options.add(
                purse=definition.code, max_units=units, worth=money_pb2.Money(currency=currency, minor=worth)
            )
    return response.SerializeToString()


def balance_sheet(account: Account, purses: Purses, currency: str, now_ms: int) -> bytes:
    """All purses of an account."""
    return inquiry_pb2.GetBalanceResponse(
        balances=balances(account, purses, currency), as_of_time=stamp(now_ms)
    ).SerializeToString()


def found_transaction(message: transaction_pb2.Transaction) -> bytes:
    """A transaction that was asked for."""
    return inquiry_pb2.GetTransactionResponse(transaction=message).SerializeToString()


def statement_page(messages: Iterable[transaction_pb2.Transaction], next_before: int) -> bytes:
    """A page of the statement; `next_before` 0 on the last page."""
    return inquiry_pb2.ListStatementResponse(
        transactions=messages, next_page_token=str(next_before) if next_before else ""
    ).SerializeToString()
