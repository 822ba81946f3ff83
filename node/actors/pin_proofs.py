"""A member's PIN at this merchant's own tills: set by staff at the member's wish, judged before a spend.

Wrong tries are durable at once, whatever else becomes of the request. Where a pool pays, the member's own
account judges, and its word goes to the pool.
"""

from __future__ import annotations

import os
from datetime import date
from typing import TYPE_CHECKING

from node.ledger.days import local_date
from node.ledger.decision import Decision, purse_definition
from node.ledger.membership import note_pin
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.spending import SpendRequest, units_of
from node.people import pins
from node.people.pins import Pin, PinRule, PinVerdict
from node.programme.model import Programme, ProofKind
from node.storage.card_keys import pin_key
from node.wire.abroad import proof_requested
from node.wire.commands import Op
from node.wire.pins import PIN

if TYPE_CHECKING:
    from node.actors.desk import Case, Decider, Desk, Inquiry
    from node.ledger.account import Account

SALT_BYTES = 16
SPENDS = frozenset({Op.AUTHORIZE, Op.REDEEM})
_EPOCH = date(1970, 1, 1)


def rule_of(programme: Programme) -> PinRule | None:
    """What the programme lets a PIN do; None where it lists none."""
    limit = next((one for one in programme.proofs if one.proof is ProofKind.PIN), None)
    if limit is None:
        return None
    tries = limit.tries or pins.DEFAULT_TRIES
    return PinRule(limit.transaction_units, limit.daily_units, tries, limit.required_from_units)


def set_(desk: Desk, case: Case, account: Account) -> Decision:
    """Sets the PIN; one that was locked is good again."""
    if desk.vault is None:
        return refuse(Reason.UNAVAILABLE, "This node has no key under which a PIN could be kept.")
    state = pins.set_pin(_state(case, account), case.ask.pin, os.urandom(SALT_BYTES), desk.vault.pin_secret)
    case.puts.append((_key(case, account), PIN.encode(state)))
    return note_pin(account)


def reset(desk: Desk, case: Case, account: Account) -> Decision:
    """Gives the PIN its tries back, or takes it away."""
    state = _state(case, account)
    after = b"" if case.ask.remove or not state.digest else PIN.encode(pins.unlocked(state))
    case.puts.append((_key(case, account), after))
    return note_pin(account)


def forget(case: Case, account: Account) -> None:
    """Drops the PIN with what else is known of a person."""
    case.puts.append((_key(case, account), b""))


def pin_state(case: Case, account: Account) -> str:
    """Whether the member has a PIN, and whether it is locked, in a word for staff."""
    state, rule = _state(case, account), rule_of(case.edition.compiled.programme)
    if not state.digest:
        return ""
    return "locked" if state.wrong >= (rule.tries if rule else pins.DEFAULT_TRIES) else "set"


def judge(desk: Desk, case: Case, account: Account, use: bytes, *, hands_on: bool = False) -> Refused | None:
    """Why the PIN does not let this spend be done, or that one is required; None where nothing is in the way.

    `use` names the request. `hands_on`: another account does the spend, so that what is spent counts here
    and now.
    """
    if case.op not in SPENDS or not account.account_id:
        return None
    rule, state = rule_of(case.edition.compiled.programme), _state(case, account)
    if rule is None:
        return _not_taken() if case.ask.pin else None
    units = _units(case)
    if isinstance(units, Refused):
        return units
    if not case.ask.pin:
        required = state.digest and rule.required_from_units and units >= rule.required_from_units
        return _required() if required and not case.ask.card_proof else None
    if desk.vault is None:
        return _not_taken()
    day = (local_date(case.now_ms, desk.settings.time_zone) - _EPOCH).days
    verdict, after = pins.check_pin(state, case.ask.pin, units, day, use, rule, desk.vault.pin_secret)
    if verdict is PinVerdict.GOOD and not hands_on:
        case.puts.append((_key(case, account), PIN.encode(after)))
    elif after != state:
        case.work.put(_key(case, account), PIN.encode(after))
    return _refusal(verdict, rule, after)


def wanted(desk: Desk, case: Case, account: Account) -> bytes | Refused:
    """Whether these spends must be proved at this merchant's own tills, and by what."""
    rule, state = rule_of(case.edition.compiled.programme), _state(case, account)
    units = _units(case)
    if isinstance(units, Refused):
        return units
    if rule is None or not state.digest:
        return proof_requested(0, False)
    required = bool(rule.required_from_units) and units >= rule.required_from_units
    return proof_requested(0, required, ("pin", "card_cryptogram") if desk.cards else ("pin",))


def _units(case: Case) -> int | Refused:
    """What the spends take together, in units."""
    total = 0
    for spend in case.ask.spends:
        units = _one(case, spend)
        if isinstance(units, Refused):
            return units
        total += units
    return total


def _one(case: Case, spend: SpendRequest) -> int | Refused:
    definition = purse_definition(case.context(), spend.purse)
    return definition if isinstance(definition, Refused) else units_of(spend, definition)


def _refusal(verdict: PinVerdict, rule: PinRule, state: Pin) -> Refused | None:
    if verdict is PinVerdict.GOOD:
        return None
    if verdict is PinVerdict.LIMIT:
        return refuse(
            Reason.PROOF_LIMIT_EXCEEDED,
            "The PIN is right, and may not spend so much at a time or in a day. Nothing was taken.",
            transaction_units=rule.transaction_units,
            daily_units=rule.day_units,
        )
    left = max(0, rule.tries - state.wrong)
    text = {
        PinVerdict.NOT_SET: "The member has set no PIN.",
        PinVerdict.WRONG: f"The PIN is wrong. {left} tries are left.",
        PinVerdict.LOCKED: "Too many wrong PINs: it is locked until the merchant's staff reset it.",
    }[verdict]
    return refuse(Reason.PROOF_REFUSED, f"{text} Nothing was taken.", pin=verdict.value, tries_left=left)


def _not_taken() -> Refused:
    return refuse(
        Reason.PROOF_REFUSED, "This merchant's programme takes no PIN. Nothing was taken.", pin="not_taken"
    )


def _required() -> Refused:
    return refuse(
        Reason.PROOF_REQUIRED,
        "The member has set a PIN, and so much is spent only with it or with a chip card. Nothing was taken.",
        proofs="pin card_cryptogram",
    )


def _state(case: Case, account: Account) -> Pin:
    data = case.work.get(_key(case, account))
    return Pin() if data is None else PIN.decode(data)


def _key(case: Case, account: Account) -> bytes:
    return pin_key(case.partition.number, account.account_id)


DECIDERS: dict[Op, Decider] = {Op.SET_PIN: set_, Op.RESET_PIN: reset}
INQUIRIES: dict[Op, Inquiry] = {Op.REQUEST_PROOF: wanted}
