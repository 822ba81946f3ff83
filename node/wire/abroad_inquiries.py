"""Answers to what tills ask about members of other merchants; they change nothing."""

from __future__ import annotations

from node.coalition.acquirer_facts import AcquirerExchange
from node.coalition.exchange import ExchangeKind
from node.coalition.messages import Inquired, RecordKind
from node.ledger.awards import Award
from node.ledger.purchase import Purchase
from node.ledger.transactions import TransactionKind
from node.proto.vafa.common.v1 import transaction_pb2
from node.proto.vafa.pos.v1 import inquiry_pb2
from node.wire.abroad import Looks, add_awards, balances, ref_of
from node.wire.balances import stamp


def looked_up(exchange: AcquirerExchange, looks: Looks, sale: bytes = b"") -> bytes:
    """The answer to a GetTransaction about an exchange that is done, holds units, or is on its way.

    `sale` is the answer about the sale, or the goods that came back, as this node recorded them: they then
    have their own id, and a sale is named with its exchange, as it was when it was answered.
    """
    response = inquiry_pb2.GetTransactionResponse.FromString(sale)
    transaction = response.transaction
    if sale and exchange.kind is ExchangeKind.ACCRUAL:
        transaction.transaction_id = f"{transaction.transaction_id}+{ref_of(exchange)}"
    elif not sale:
        _describe(transaction, exchange)
    if exchange.kind is ExchangeKind.REDEMPTION:
        if exchange.record_kind is RecordKind.REDEMPTION:
            transaction.spent.append(looks.spent(exchange.posted_units))
        return response.SerializeToString()
    units = exchange.units if exchange.record_kind is None else exchange.posted_units
    if units:
        effect = transaction.effects.add()
        taken = exchange.kind is ExchangeKind.RETURN and bool(sale)
        effect.points.purse, effect.points.units = looks.purse, -units if taken else units
    return response.SerializeToString()


def _describe(transaction: transaction_pb2.Transaction, exchange: AcquirerExchange) -> None:
    """What an exchange says of itself, where this node has no entry of its own for it."""
    store_id, _, transaction.terminal_id = exchange.scope.rpartition("/")
    transaction.transaction_id, transaction.store_id = str(ref_of(exchange)), store_id
    transaction.kind = int(_kind(exchange))  # type: ignore[assignment]  # numbered as in the proto
    transaction.request_id = exchange.request_id
    transaction.occurred_time.CopyFrom(stamp(exchange.terms.occurred_time_ms))
    transaction.post_time.CopyFrom(stamp(exchange.changed_ms))
    transaction.reversed = exchange.returned >= exchange.posted_units > 0


def _kind(exchange: AcquirerExchange) -> TransactionKind:
    if exchange.kind is ExchangeKind.ACCRUAL:
        return TransactionKind.ACCRUAL
    if exchange.kind is ExchangeKind.RETURN:
        return TransactionKind.RETURN
    captured = exchange.record_kind is RecordKind.REDEMPTION
    return TransactionKind.REDEMPTION if captured else TransactionKind.AUTHORIZATION


def identified(said: Inquired, partner_id: str, looks: Looks) -> bytes:
    """The answer to an Identify: a pseudonym instead of the account, and nothing of the person."""
    return inquiry_pb2.IdentifyResponse(
        account_id=f"{said.pseudonym.hex()}@{partner_id}",
        status=inquiry_pb2.ACCOUNT_STATUS_ACTIVE,
        balances=balances(said.spendable_units, looks),
    ).SerializeToString()


def balance_answer(said: Inquired, at_ms: int, looks: Looks) -> bytes:
    """The answer to a GetBalance."""
    return inquiry_pb2.GetBalanceResponse(
        balances=balances(said.spendable_units, looks), as_of_time=stamp(at_ms)
    ).SerializeToString()


def quoted(
    version: int, awards: tuple[Award, ...], spendable: int, purchase: Purchase, looks: Looks
) -> bytes:
    """The answer to a Quote: what this merchant's programme would grant, and what could be spent.

    Where it is known what points pay for, no more is offered than the basket takes, with its worth: as at
    home.
    """
    response = inquiry_pb2.QuoteResponse(programme_version=version)
    add_awards(response.effects, awards)
    total = max(0, purchase.total_minor)
    units = spendable if looks.rate is None else min(spendable, looks.rate.units_for(total))
    if units > 0:
        option = response.spend_options.add(purse=looks.purse, max_units=units)
        if looks.rate is not None:
            option.worth.currency, option.worth.minor = (
                looks.currency,
                min(looks.rate.worth_minor(units), total),
            )
    return response.SerializeToString()
