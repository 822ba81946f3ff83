"""What tills ask of a chip card and of the account that it stands for, and what staff note of it."""

from __future__ import annotations

from cards.verification import SESSION_TTL_MS, ExpectedSale
from node.actors.card_desk import PROOF_TTL_MS, CardDesk, card_of, noted, proof_of
from node.actors.desk import Case, Decider, Desk, Inquiry
from node.ledger.account import Account
from node.ledger.decision import Decision, checked_units, purse_definition
from node.ledger.membership import note_card
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.spending import SpendRequest, units_of
from node.storage.card_keys import card_key
from node.wire import cards as words
from node.wire.cards import CardEntry
from node.wire.commands import Op


def begin(desk: Desk, case: Case, account: Account) -> bytes | Refused:
    """The first command for the card."""
    found = _card(desk, case, account)
    if isinstance(found, Refused):
        return found
    cards, entry = found
    units = _units(case, case.ask.spend)
    if isinstance(units, Refused):
        return units
    begun = cards.begin(
        entry, desk.settings.merchant, case.command.scope, units, case.ask.spend.purse, case.now_ms
    )
    return begun if isinstance(begun, Refused) else words.begun(*begun, case.now_ms + SESSION_TTL_MS)


def go_on(desk: Desk, case: Case, account: Account) -> bytes | Refused:
    """The next command for the card, or the proof."""
    found = _card(desk, case, account)
    if isinstance(found, Refused):
        return found
    cards, _ = found
    units = _units(case, case.ask.spend)
    if isinstance(units, Refused):
        return units
    step = cards.go_on(
        case.ask.session_id, case.ask.answer, desk.settings.merchant, case.command.scope, units,
        case.ask.spend.purse, case.now_ms,
    )  # fmt: skip
    if isinstance(step, Refused):
        return step
    if isinstance(step, bytes):
        return words.next_command(step, case.now_ms + SESSION_TTL_MS)
    return words.proof_given(proof_of(case.ask.session_id), case.now_ms + PROOF_TTL_MS)


def check(desk: Desk, case: Case, account: Account) -> Refused | None:
    """Whether the card proved the spend that is asked for; its record then changes with the spend.

    Nothing is asked where the till hands in no card's proof: at home a card need not prove anything.
    """
    if not case.ask.card_proof:
        return None
    found = _card(desk, case, account)
    if isinstance(found, Refused):
        return found
    cards, entry = found
    if len(case.ask.spends) != 1:
        return refuse(Reason.INVALID_ARGUMENT, "A card proves one spend of one purse.", field="spends")
    (spend,) = case.ask.spends
    units = _units(case, spend)
    if isinstance(units, Refused):
        return units
    expected = ExpectedSale(desk.settings.merchant, units, spend.purse, case.command.scope)
    after = cards.proved(entry, case.ask.card_proof, expected, case.now_ms)
    if isinstance(after, Refused):
        return after
    case.puts.append((_key(case, account), words.CARD.encode(after)))
    return None


def record(desk: Desk, case: Case, account: Account) -> Decision:
    """Notes a chip under the number by which the account was named."""
    if not case.command.digest:
        return refuse(Reason.INVALID_ARGUMENT, "Name the card by its number.", field="identifier")
    before = card_of(case.work, case.partition.number, account.account_id, case.command.digest)
    after = noted(before, case.ask)
    if isinstance(after, Refused):
        return after
    case.puts.append((_key(case, account), words.CARD.encode(after)))
    return note_card(account)


def forget(case: Case, account: Account) -> None:
    """Drops what is known of all cards that the account ever had: a card's number and chip name a person."""
    number = case.partition.number
    case.puts.extend((card_key(number, account.account_id, link.digest), b"") for link in account.links)


def _card(desk: Desk, case: Case, account: Account) -> tuple[CardDesk, CardEntry] | Refused:
    if desk.cards is None:
        return refuse(
            Reason.PROOF_REFUSED,
            "This node verifies no cards: [cards] key_store is not set. Nothing was taken.",
        )
    entry = card_of(case.work, case.partition.number, account.account_id, case.command.digest)
    if entry is None:
        return refuse(
            Reason.PROOF_REFUSED,
            "No chip is known for this card's number. Name the card itself, or take other means."
            " Nothing was taken.",
            card="unknown_card",
        )
    return desk.cards, entry


def _units(case: Case, spend: SpendRequest) -> int | Refused:
    definition = purse_definition(case.context(), spend.purse)
    units = definition if isinstance(definition, Refused) else units_of(spend, definition)
    if isinstance(units, Refused):
        return units
    return checked_units(units) or units


def _key(case: Case, account: Account) -> bytes:
    return card_key(case.partition.number, account.account_id, case.command.digest)


INQUIRIES: dict[Op, Inquiry] = {Op.BEGIN_CARD_PROOF: begin, Op.CONTINUE_CARD_PROOF: go_on}
DECIDERS: dict[Op, Decider] = {Op.RECORD_CARD: record}
