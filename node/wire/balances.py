"""Balances, effects and transactions as messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from node.ledger import events as ev
from node.ledger.account import Account, Taken
from node.ledger.awards import Award
from node.ledger.lots import NEVER_MS, total
from node.ledger.postings import movements
from node.ledger.purchase import Purchase
from node.ledger.purses import PurseDefinition, PurseKind
from node.ledger.transactions import Amendment, Entry
from node.proto.vafa.common.v1 import balance_pb2, effect_pb2, money_pb2, transaction_pb2
from node.wire.parse import transaction_id

Purses = Mapping[str, PurseDefinition]
Statement = transaction_pb2.Transaction
"""A line of the statement."""


def stamp(at_ms: int) -> Timestamp:
    """A timestamp message of epoch milliseconds."""
    return Timestamp(seconds=at_ms // 1000, nanos=at_ms % 1000 * 1_000_000)


def fill_stamp(message: Timestamp, at_ms: int) -> None:
    """Sets a timestamp message to epoch milliseconds."""
    seconds, millis = divmod(at_ms, 1000)
    message.seconds = seconds
    if millis:  # 0 is what a field is that is not set
        message.nanos = millis * 1_000_000


def balance(account: Account, definition: PurseDefinition, currency: str) -> balance_pb2.PurseBalance:
    """One purse as it is, with what of it expires first and what it is worth."""
    message = balance_pb2.PurseBalance()
    fill_balance(message, account, definition, currency)
    return message


def fill_balance(
    message: balance_pb2.PurseBalance, account: Account, definition: PurseDefinition, currency: str
) -> None:
    """The same into an empty message. What is 0 is left out: that is what a field is that is not set."""
    purse = account.purse(definition.code)
    message.purse = definition.code
    message.kind = definition.kind  # type: ignore[assignment]  # the ledger's numbers are the protos'
    if definition.exponent:
        message.exponent = definition.exponent
    message.spendable = purse.spendable
    if purse.pending:
        message.pending = purse.pending
    if purse.held:
        message.held = purse.held
    if purse.lots:
        first_ms = purse.lots[0].expires_ms
        if first_ms < NEVER_MS:
            fill_stamp(message.next_expiry_time, first_ms)
            units = 0
            for lot in purse.lots:
                if lot.expires_ms != first_ms:
                    break
                units += lot.units
            message.next_expiry_units = units
    if definition.rate is not None:
        worth = message.worth
        worth.currency = currency
        worth.minor = definition.rate.worth_minor(purse.spendable)


def balances(
    account: Account, purses: Purses, currency: str, only: Iterable[str] | None = None
) -> list[balance_pb2.PurseBalance]:
    """The purses of an account in the programme's spend order, or `only` those that were touched.

    A purse that the programme no longer defines is not shown; it keeps its units.
    """
    wanted = purses.keys() if only is None else only
    return [balance(account, purses[code], currency) for code in wanted if code in purses]


def touched(events: Iterable[ev.AnyEvent]) -> list[str]:
    """The purses that some events moved or reserved, each once, in order."""
    codes: dict[str, None] = {}
    for event in events:
        for _, purse, _ in movements(event):
            codes[purse] = None
        if isinstance(event, ev.HoldPlaced):
            codes.update(dict.fromkeys(part.purse for part in event.hold.taken))
        elif isinstance(event, ev.HoldClosed):
            codes.update(dict.fromkeys(part.purse for part in event.restored))
    return list(codes)


def spent(taken: Sequence[Taken], purses: Purses, currency: str) -> list[balance_pb2.Spent]:
    """What was taken, with its worth."""
    messages = []
    for part in taken:
        message = balance_pb2.Spent(purse=part.purse, units=part.units)
        definition = purses.get(part.purse)
        if definition is not None and definition.rate is not None:
            message.worth.CopyFrom(
                money_pb2.Money(currency=currency, minor=definition.rate.worth_minor(part.units))
            )
        messages.append(message)
    return messages


def award_effects(awards: Sequence[Award], purses: Purses) -> list[effect_pb2.Effect]:
    """What rules granted, as effects: stamps as stamps, everything else as units for a purse."""
    found = []
    for award in awards:
        effect = effect_pb2.Effect()
        fill_effect(effect, award, purses.get(award.purse))
        found.append(effect)
    return found


def fill_effect(effect: effect_pb2.Effect, award: Award, definition: PurseDefinition | None) -> None:
    """One award into an empty effect."""
    effect.rule = award.rule
    if award.receipt_text:
        effect.receipt_text = award.receipt_text
    if definition is not None and definition.kind is PurseKind.STAMPS:
        effect.stamp.purse = award.purse
        effect.stamp.stamps = award.units
        effect.stamp.goal = definition.goal
        return
    points = effect.points
    points.purse = award.purse
    points.units = award.units
    if award.available_ms:
        fill_stamp(points.available_time, award.available_ms)
    if award.expires_ms < NEVER_MS:
        fill_stamp(points.expire_time, award.expires_ms)


def effects(events: Iterable[ev.AnyEvent], purses: Purses, currency: str) -> list[effect_pb2.Effect]:
    """Everything that some events brought or took, spends apart."""
    return [effect for event in events for effect in _effects_of(event, purses, currency)]


def _effects_of(event: ev.AnyEvent, purses: Purses, currency: str) -> Iterator[effect_pb2.Effect]:
    if isinstance(event, ev.Earned | ev.ActivityEarned):
        yield from award_effects(event.awards, purses)
    elif isinstance(event, ev.Credited | ev.Expired | ev.Debited):
        units = total(event.lots)
        if isinstance(event, ev.Debited):
            units += total(event.pending_lots) + event.debt
        elif isinstance(event, ev.Credited):
            units += event.debt
        sign = 1 if isinstance(event, ev.Credited) else -1
        yield effect_pb2.Effect(points=effect_pb2.PointsEffect(purse=event.purse, units=sign * units))
    elif isinstance(event, ev.Returned):
        for code, units in event.shortfall:
            definition = purses.get(code)
            if definition is not None and definition.rate is not None and definition.spent_return_policy == 3:
                kept = money_pb2.Money(currency=currency, minor=-definition.rate.worth_minor(units))
                yield effect_pb2.Effect(discount=effect_pb2.DiscountEffect(amount=kept))


def purchase_of(entry: Entry) -> Purchase | None:
    """The purchase that an entry recorded, or None."""
    for event in entry.events:
        if isinstance(event, ev.Earned | ev.Sold):
            return event.purchase
    return None


def transaction(
    partition: int, entry: Entry, amended: Amendment | None, purses: Purses, currency: str
) -> transaction_pb2.Transaction:
    """An entry as tills and members see it."""
    message = transaction_pb2.Transaction(
        transaction_id=transaction_id(partition, entry.sequence),
        kind=int(entry.kind),  # type: ignore[arg-type]  # the protos' own numbers
        terminal_id=entry.terminal,
        request_id=entry.request_id,
        occurred_time=stamp(entry.occurred_ms),
        post_time=stamp(entry.at_ms),
        programme_version=entry.version,
        effects=effects(entry.events, purses, currency),
        reversed=amended is not None and amended.reversed_ms > 0,
    )
    for event in entry.events:
        if isinstance(event, ev.Spent):
            message.spent.extend(spent(event.taken, purses, currency))
            message.store_id, message.receipt_number = event.store_id, event.receipt_number
        elif isinstance(event, ev.HoldClosed):
            message.spent.extend(spent(event.spent, purses, currency))
            message.receipt_number = event.receipt_number
    purchase = purchase_of(entry)
    if purchase is not None:
        message.store_id, message.receipt_number = purchase.store_id, purchase.receipt_number
    return message
