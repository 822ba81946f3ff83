"""Tills' requests about members of other merchants, and the answers to them.

A transaction abroad is named by its exchange and partner, `<32 hex digits>@<partner>`, where one at home is
named by partition and sequence: a till repeats either as it got it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from node.coalition.acquirer_facts import AcquirerExchange
from node.coalition.envelopes import MemberProof
from node.config import SLUG_PATTERN
from node.ledger.awards import Award
from node.ledger.lots import NEVER_MS
from node.ledger.purchase import Purchase
from node.ledger.purses import RedemptionRate
from node.ledger.refusals import Reason, Refused, refuse
from node.proto.vafa.common.v1 import balance_pb2
from node.proto.vafa.pos.v1 import earning_pb2, spending_pb2, undo_pb2
from node.wire.balances import stamp
from node.wire.coalition_bodies import read_proof
from node.wire.coalition_fields import OutOfBounds
from node.wire.parse import invalid
from node.wire.purchases import purchase_from
from node.wire.requests import DEFAULT_HOLD_SECONDS, MAX_HOLD_SECONDS

_REF = re.compile(rf"([0-9a-f]{{32}})@({SLUG_PATTERN})").fullmatch


class SpendAbroad(Struct, frozen=True):
    """What a till wants spent of a member's coalition purse. The repr does not show the proof."""

    units: int
    hold_seconds: int
    store_id: str
    proof: MemberProof | None

    def __repr__(self) -> str:
        return f"SpendAbroad({self.units})"


class Ref(Struct, frozen=True):
    """A transaction abroad."""

    exchange_id: bytes
    partner_id: str

    def __str__(self) -> str:
        return f"{self.exchange_id.hex()}@{self.partner_id}"


class Looks(Struct, frozen=True):
    """How the coalition purse is shown: its code, its exponent, the till's currency, and what it pays for."""

    purse: str
    exponent: int
    currency: str
    rate: RedemptionRate | None = None

    def spent(self, units: int) -> balance_pb2.Spent:
        """Units of the purse with their worth, which is absent where there is no rate: as at home."""
        message = balance_pb2.Spent(purse=self.purse, units=units)
        if self.rate is not None:
            message.worth.currency, message.worth.minor = self.currency, self.rate.worth_minor(units)
        return message


def ref_from(text: str) -> Ref | None:
    """What a transaction id abroad names; None for one of this node's own."""
    found = _REF(text)
    return None if found is None else Ref(bytes.fromhex(found[1]), found[2])


def sale_and_ref(text: str) -> tuple[str, Ref] | None:
    """A sale that earned abroad: its id here, and the exchange; None for any other transaction id."""
    sale, plus, rest = text.partition("+")
    ref = ref_from(rest) if plus else None
    return None if ref is None else (sale, ref)


def is_abroad(transaction_id: str) -> bool:
    """Whether a transaction id names something abroad."""
    return ref_from(transaction_id) is not None or sale_and_ref(transaction_id) is not None


def local_return(message: Any, sale: str) -> Any:
    """The return of a sale that earned abroad as a return of what was sold here, without the member."""
    local = undo_pb2.ReturnRequest()
    local.CopyFrom(message)
    local.ClearField("identifier")
    local.transaction_id = sale
    return local


def return_of(message: Any) -> tuple[str, int]:
    """The transaction that a Return names, and the amount; of a spend that is in units, 0 for all."""
    return message.transaction_id, message.amount_minor


def spend_of(message: Any, purse: str) -> SpendAbroad | Refused:
    """What an Authorize, Redeem or RequestProof asks for: units of the coalition purse, and nothing else."""
    units = units_of(message.spends, purse)
    if isinstance(units, Refused):
        return units
    seconds = getattr(message, "hold_seconds", 0)
    if not 0 <= seconds <= MAX_HOLD_SECONDS:
        return invalid("hold_seconds", f"A hold stands for 0 to {MAX_HOLD_SECONDS} seconds.")
    try:
        proof = read_proof(message.proof) if hasattr(message, "proof") else None
    except OutOfBounds:
        return invalid("proof", "The proof is longer than any that there is.")
    return SpendAbroad(units, seconds or DEFAULT_HOLD_SECONDS, message.store_id, proof)


def units_of(spends: Any, purse: str) -> int | Refused:
    """The units that spends ask for together; money is not changed into points for another merchant."""
    total = 0
    for spend in spends:
        if spend.purse not in (purse, ""):
            return refuse(
                Reason.NOT_SPENDABLE_HERE,
                f"Of another merchant's member only the purse {purse} can be spent here.",
                purse=spend.purse,
            )
        if spend.WhichOneof("amount") == "money" or spend.units <= 0:
            return invalid("spends", "Name points to be spent, more than none: money is not changed abroad.")
        total += spend.units
    return total or invalid("spends", "Say how many points are to be spent.")


def captured_units(message: Any, purse: str) -> int | Refused:
    """What a Capture asks for; 0 is all that was authorised."""
    return units_of(message.spends, purse) if message.spends else 0


def purchase_of(message: Any, store_id: str) -> Purchase | Refused:
    """The sale of an Accrue, or the basket of a Quote."""
    return purchase_from(message.purchase, store_id)


# --- answers ----------------------------------------------------------------------------------------------


def balances(known: int, looks: Looks) -> list[balance_pb2.PurseBalance]:
    """The coalition purse as the home node told it; nothing where it did not."""
    if known < 0:
        return []
    message = balance_pb2.PurseBalance(
        purse=looks.purse,
        kind=balance_pb2.PURSE_KIND_POINTS,
        exponent=looks.exponent,
        spendable=known,
    )
    if looks.rate is not None:
        message.worth.currency, message.worth.minor = looks.currency, looks.rate.worth_minor(known)
    return [message]


def accrued(
    sale: bytes,
    awards: tuple[Award, ...],
    exchange: AcquirerExchange | None,
    looks: Looks,
    *,
    problem: str = "",
) -> bytes:
    """The answer to an Accrue: the sale as it was posted here, and what of it goes to the member's home.

    Without an exchange nothing does: the programme grants nothing, or `problem` says why it cannot be.
    """
    response = earning_pb2.AccrueResponse.FromString(sale)
    if exchange is not None:
        response.transaction_id = f"{response.transaction_id}+{ref_of(exchange)}"
    if problem:
        response.effects.add().text.text = problem
    add_awards(response.effects, awards)
    posted = exchange is None or exchange.record_kind is not None
    response.state = earning_pb2.ACCRUAL_STATE_POSTED if posted else earning_pb2.ACCRUAL_STATE_PENDING
    if exchange is not None and posted:
        response.balances.extend(balances(exchange.balance_units, looks))
    return response.SerializeToString()


def add_awards(effects: Any, awards: tuple[Award, ...]) -> None:
    """The effects of what this merchant's programme grants, with their times and receipt texts."""
    for award in awards:
        effect = effects.add(rule=award.rule, receipt_text=award.receipt_text)
        effect.points.purse, effect.points.units = award.purse, award.units
        if award.available_ms:
            effect.points.available_time.CopyFrom(stamp(award.available_ms))
        if award.expires_ms < NEVER_MS:
            effect.points.expire_time.CopyFrom(stamp(award.expires_ms))


def authorized(exchange: AcquirerExchange, looks: Looks) -> bytes:
    """The answer to an Authorize."""
    response = spending_pb2.AuthorizeResponse(
        transaction_id=str(ref_of(exchange)),
        post_time=stamp(exchange.created_ms),
        expire_time=stamp(exchange.expires_ms),
        balances=balances(exchange.balance_units, looks),
    )
    response.held.append(looks.spent(exchange.units))
    return response.SerializeToString()


def captured(exchange: AcquirerExchange, looks: Looks) -> bytes:
    """The answer to a Capture."""
    return _spent(spending_pb2.CaptureResponse(), exchange, looks)


def redeemed(exchange: AcquirerExchange, looks: Looks) -> bytes:
    """The answer to a Redeem."""
    return _spent(spending_pb2.RedeemResponse(), exchange, looks)


def _spent(response: Any, exchange: AcquirerExchange, looks: Looks) -> bytes:
    response.transaction_id = str(ref_of(exchange))
    response.post_time.CopyFrom(stamp(exchange.changed_ms))
    response.spent.append(looks.spent(exchange.posted_units))
    response.balances.extend(balances(exchange.balance_units, looks))
    data: bytes = response.SerializeToString()
    return data


def voided(exchange: AcquirerExchange) -> bytes:
    """The answer to a Void."""
    return spending_pb2.VoidResponse(
        transaction_id=str(ref_of(exchange)), post_time=stamp(exchange.changed_ms)
    ).SerializeToString()


def returned(exchange: AcquirerExchange, looks: Looks, sale: bytes = b"") -> bytes:
    """The answer to a Return of what was spent or earned abroad; `sale` is that of the goods' return here."""
    response = undo_pb2.ReturnResponse.FromString(sale)
    done = exchange.record_kind is not None
    if not sale:
        response.transaction_id = str(ref_of(exchange))
        response.post_time.CopyFrom(stamp(exchange.changed_ms))
    units = exchange.posted_units if done else exchange.units
    effect = response.effects.add()
    effect.points.purse, effect.points.units = looks.purse, -units if sale else units
    if done:
        response.balances.extend(balances(exchange.balance_units, looks))
    return response.SerializeToString()


def was_undone(answer: bytes) -> bool:
    """Whether an answer to a Reverse says that something was undone; said again, the answer is the same."""
    return undo_pb2.ReverseResponse.FromString(answer).undone


def reversed_answer(ref: Ref, at_ms: int, undone: bool) -> bytes:
    """The answer to a Reverse."""
    return undo_pb2.ReverseResponse(
        transaction_id=str(ref), post_time=stamp(at_ms), undone=undone
    ).SerializeToString()


def proof_requested(expire_ms: int, required: bool, proofs: Sequence[str] = ()) -> bytes:
    """The answer to a RequestProof."""
    response = spending_pb2.RequestProofResponse(required=required, proofs=proofs)
    if expire_ms:
        response.expire_time.CopyFrom(stamp(expire_ms))
    return response.SerializeToString()


def ref_of(exchange: AcquirerExchange) -> Ref:
    """An exchange as tills name it."""
    return Ref(exchange.exchange_id, exchange.partner_id)
