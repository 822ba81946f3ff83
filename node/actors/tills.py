"""What tills ask of an account: each request with the decision that it calls for."""

from __future__ import annotations

from msgspec.structs import replace

from node.actors import receipts
from node.actors.desk import Case, Decider, Desk
from node.ledger import earning, spending, undo
from node.ledger.account import Account
from node.ledger.commands import TransactionRef
from node.ledger.decision import Accepted, Context, Decision
from node.ledger.events import Claimed, Earned, Returned, Sold, Tombstoned
from node.ledger.purchase import Purchase
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.transactions import Amendment, Entry, TransactionKind
from node.programme.evaluate import UnknownActivity
from node.storage import keyspace
from node.wire import records
from node.wire.balances import purchase_of
from node.wire.commands import Op, encode
from node.wire.parse import transaction_ref
from node.wire.records import Dispatch, RequestRecord
from node.wire.steps import STEP_SCOPE, TAKEN_SALE, release_of


def accrue(desk: Desk, case: Case, account: Account) -> Decision:
    """Records a purchase, of a member's or of nobody's."""
    purchase: Purchase = case.ask.purchase
    problem = earning.purchase_problem(purchase, desk.settings.currency) or claim_receipt(
        desk, case, purchase
    )
    if problem:
        return problem
    if not account.account_id:
        return earning.sell(purchase)
    return earning.accrue(
        account,
        purchase,
        case.edition.compiled.evaluate(purchase, account, case.occurred_ms, desk.language_for(account)),
    )


def claim_receipt(desk: Desk, case: Case, purchase: Purchase) -> Refused | None:
    """Claims the receipt number for this request, where its partition is hosted here.

    Where another shard hosts it, the router has claimed it there before it sent the purchase.
    """
    if not purchase.receipt_number:
        return None
    store_id, number = purchase.store_id, purchase.receipt_number
    partition, digest = receipts.place_of(store_id, number, desk.settings.partitions)
    if partition not in desk.hosted:
        return None
    key = keyspace.receipt_key(partition, digest)
    placed = case.partition.number
    claim = receipts.claim_of(case.command.scope, case.request_id, case.body_hash, case.now_ms, placed)
    data = case.work.get(key)
    taken = receipts.taken(None if data is None else records.RECEIPT.decode(data), claim)
    if isinstance(taken, Refused):
        return taken
    if taken is not None:
        case.puts.append((key, records.RECEIPT.encode(taken)))
    return None


def record_activity(desk: Desk, case: Case, account: Account) -> Decision:
    """Records an activity that the programme knows."""
    activity = case.ask.activity
    awards = case.edition.compiled.evaluate_activity(
        activity, account, case.occurred_ms, desk.language_for(account)
    )
    if isinstance(awards, UnknownActivity):
        return refuse(
            Reason.UNKNOWN_ACTIVITY, "The programme does not know this activity.", code=activity.code
        )
    return earning.record_activity(account, activity, awards)


def authorize(desk: Desk, case: Case, account: Account) -> Decision:
    """Reserves units."""
    ask = case.ask
    return spending.authorize(account, ask.spends, ask.place, ask.hold_seconds, case.context())


def capture(desk: Desk, case: Case, account: Account) -> Decision:
    """Spends a hold of this partition's."""
    ask = case.ask
    if ask.authorization.partition != case.partition.number:
        return no_such_transaction()
    hold_id = ask.authorization.sequence
    return spending.capture(account, hold_id, ask.spends, ask.receipt_number, case.context())


def void(desk: Desk, case: Case, account: Account) -> Decision:
    """Lets a hold of this partition's go."""
    if case.ask.authorization.partition != case.partition.number:
        return no_such_transaction()
    return spending.void(account, case.ask.authorization.sequence, case.context())


def redeem(desk: Desk, case: Case, account: Account) -> Decision:
    """Spends in one step."""
    ask = case.ask
    return spending.redeem(account, ask.spends, ask.place, ask.receipt_number, case.context())


def original_of(case: Case, ref: TransactionRef, account: Account) -> tuple[Entry, Amendment] | Refused:
    """The entry that a request names, which must be of this account, and what became of it."""
    stored = case.work.entry(ref.partition, ref.sequence) if ref.partition == case.partition.number else None
    if stored is None or stored.entry.account_id != account.account_id:
        return no_such_transaction()
    return stored.entry, case.work.amendment(ref.partition, ref.sequence)


def no_such_transaction() -> Refused:
    """The refusal of a transaction that is not there, or not this account's."""
    return refuse(Reason.TRANSACTION_NOT_FOUND, "This account has no such transaction. Nothing was changed.")


def return_goods(desk: Desk, case: Case, account: Account) -> Decision:
    """Takes goods back."""
    found = original_of(case, case.ask.original, account)
    if isinstance(found, Refused):
        return found
    ask = case.ask
    return undo.return_goods(account, *found, ask.lines, ask.minor, judged_like(desk, case, found[0]))


def judged_like(desk: Desk, case: Case, original: Entry) -> Context:
    """The context of an undoing: by the purses of the version that judged the original."""
    return replace(
        case.context(), purses=desk.programmes.version(original.version, original.occurred_ms).purses
    )


def reverse(desk: Desk, case: Case, account: Account) -> Decision:
    """Undoes a request of the same terminal's; one that never arrived leaves a tombstone."""
    scope, request_id = case.command.scope, case.ask.original_request_id
    number = case.partition.number
    record = case.work.request(number, scope, request_id)
    if record is None:
        tombstone = RequestRecord(b"", 0, case.occurred_ms, case.now_ms, b"", reversed_unseen=True)
        key = keyspace.request_key(number, scope, request_id)
        case.puts.append((key, records.REQUEST.encode(tombstone)))
        return Accepted(TransactionKind.REVERSAL, (Tombstoned(scope, request_id),))
    if record.reversed_unseen:
        return refuse(Reason.ALREADY_REVERSED, "The request was reversed before it arrived.")
    found = original_of(case, TransactionRef(number, record.sequence), account)
    if isinstance(found, Refused):
        return found
    entry = found[0]
    decision = undo.reverse(account, *found, judged_like(desk, case, entry), _amended_by_return(case, entry))
    if isinstance(decision, Accepted):
        _free_receipt(desk, case, entry, record.body_hash)
    return decision


def _amended_by_return(case: Case, entry: Entry) -> Amendment | None:
    """What became of the entry whose goods `entry` took back; None where it is no return."""
    for event in entry.events:
        if isinstance(event, Returned):
            return case.work.amendment(case.partition.number, event.original)
    return None


def _free_receipt(desk: Desk, case: Case, original: Entry, body_hash: bytes) -> None:
    """A reversed purchase frees its receipt number, so that the till can post it anew; `body_hash` is of its
    request.

    A reversed claim frees the sale instead, which keeps its receipt.
    """
    claimed_from = next((one.claimed_from for one in original.events if isinstance(one, Earned)), "")
    if claimed_from:
        sale = transaction_ref(claimed_from)
        assert not isinstance(sale, Refused), "the node wrote it"
        release = release_of(sale, original.terminal, original.request_id, case.now_ms)
        send_later(case, Dispatch(Op.RELEASE_SALE, sale.partition, b"", encode(release), case.now_ms))
        return
    purchase = purchase_of(original)
    if purchase is None or not purchase.receipt_number:
        return
    store_id, number = purchase.store_id, purchase.receipt_number
    partition, digest = receipts.place_of(store_id, number, desk.settings.partitions)
    claim = receipts.claim_of(original.terminal, original.request_id, body_hash)
    if partition in desk.hosted:
        key = keyspace.receipt_key(partition, digest)
        data = case.work.get(key)
        if data is not None:
            left = receipts.released(records.RECEIPT.decode(data), claim, for_good=True)
            assert left is not None, "what was reversed is remembered"
            case.puts.append((key, records.RECEIPT.encode(left)))
    else:
        wish = encode(receipts.let_go_of(claim, digest))
        send_later(case, Dispatch(Op.RELEASE_RECEIPT, partition, b"", wish, case.now_ms))


def take_sale(desk: Desk, case: Case, account: Account) -> Decision:
    """The anonymous side of a claim: marks the sale as the claimant's, once and for one account only."""
    found = original_of(case, case.ask.sale, account)
    if isinstance(found, Refused):
        return found
    entry, amended = found
    sold = entry.events[0]
    if not isinstance(sold, Sold):
        return refuse(Reason.WRONG_TRANSACTION_KIND, "Only a sale without a member can be claimed.")
    if amended.reversed_ms or amended.lines or amended.minor:
        return refuse(Reason.ALREADY_REVERSED, "Goods of this sale came back, or it was reversed.")
    if amended.claimed_by:
        return refuse(Reason.ALREADY_CLAIMED, "This sale has been claimed.")
    claimed = Claimed(entry.sequence, case.ask.claimant, sold.purchase, entry.occurred_ms)
    return Accepted(TransactionKind.ACCRUAL, (claimed,))


def release_sale(desk: Desk, case: Case, account: Account) -> Decision:
    """Frees a sale whose claim was refused or reversed; that claim's request will never take it again."""
    number, taken_by = case.partition.number, case.ask.taken_by
    taken = case.work.request(number, STEP_SCOPE, taken_by)
    tombstone = RequestRecord(b"", 0, case.occurred_ms, case.now_ms, b"", reversed_unseen=True)
    key = keyspace.request_key(number, STEP_SCOPE, taken_by)
    case.puts.append((key, records.REQUEST.encode(tombstone)))
    took = taken is not None and not taken.reversed_unseen
    events = (Claimed(case.ask.sale.sequence, b""),) if took else ()
    return Accepted(TransactionKind.ACCRUAL, events)


def claim_purchase(desk: Desk, case: Case, account: Account) -> Decision:
    """The member's side of a claim: earns on the sale as it was, by the version in force when it occurred."""
    sale = TAKEN_SALE.decode(case.command.extra)
    awards = desk.programmes.at(sale.sold_ms).compiled.evaluate(
        sale.purchase, account, sale.sold_ms, desk.language_for(account)
    )
    return earning.accrue(account, sale.purchase, awards, sale.claimed_from)


def send_later(case: Case, dispatch: Dispatch) -> None:
    """Puts a step for another partition into the outbox, in the batch of the decision that calls for it."""
    key = keyspace.outbox_key(case.partition.number, case.partition.sequence + 1)
    case.puts.append((key, records.DISPATCH.encode(dispatch)))


DECIDERS: dict[Op, Decider] = {
    Op.ACCRUE: accrue,
    Op.RECORD_ACTIVITY: record_activity,
    Op.AUTHORIZE: authorize,
    Op.CAPTURE: capture,
    Op.VOID: void,
    Op.REDEEM: redeem,
    Op.RETURN: return_goods,
    Op.REVERSE: reverse,
    Op.TAKE_SALE: take_sale,
    Op.RELEASE_SALE: release_sale,
    Op.CLAIM_PURCHASE: claim_purchase,
}
