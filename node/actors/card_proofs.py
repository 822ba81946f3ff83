"""What tills ask of a chip card and of the account that it stands for, and what staff note of it."""

from __future__ import annotations

from hashlib import sha256

from cards.verification import SESSION_TTL_MS, CardRefusal, ExpectedSale, SunEvidence, pack_evidence
from node.actors.card_desk import PROOF_TTL_MS, CardDesk, card_of, card_refused, noted, proof_of
from node.actors.desk import Case, Decider, Desk, Inquiry
from node.ledger.account import Account
from node.ledger.decision import Decision, checked_units, purse_definition
from node.ledger.membership import note_card
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.spending import SpendRequest, units_of
from node.storage.card_keys import card_key
from node.wire import card_words as words
from node.wire import cards as answers
from node.wire.cards import CARD, CardEntry, ChipState
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
    return begun if isinstance(begun, Refused) else answers.begun(*begun, case.now_ms + SESSION_TTL_MS)


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
        return answers.next_command(step, case.now_ms + SESSION_TTL_MS)
    return answers.proof_given(proof_of(case.ask.session_id), case.now_ms + PROOF_TTL_MS)


def judge(desk: Desk, case: Case, account: Account) -> Refused | None:
    """Why the card has not proved what is asked for; its record changes with what is then done.

    A card proves a spend by what the till hands in, and that it is there by the tap that named it. Nothing is
    asked where there is neither: at home a card need not prove anything, unless it is blocked. A pool takes
    the word of the account that the card belongs to.
    """
    word = words.word_of(case.op, case.command.extra)
    if word.judged:
        return word.refused
    evidence = _evidence(case, word)
    if not evidence:
        return _blocked(case, account)
    after = _judged(desk, case, account, evidence)
    if isinstance(after, Refused):
        return after
    if case.op not in words.LOOKS:
        case.puts.append((_key(case, account), CARD.encode(after)))
    return None


def hand_on(desk: Desk, case: Case, account: Account) -> bytes:
    """The account's word to the pool that pays: whether the card has proved it. Empty where none is to prove.

    The counter moves here and now, whatever the pool makes of it; the same request, asked again, gets the
    same word, and the pool does it at most once.
    """
    evidence = _evidence(case, words.word_of(case.op, case.command.extra))
    if not evidence:
        blocked = _blocked(case, account)
        return b"" if blocked is None else words.word_bytes(words.CardWord(judged=True, refused=blocked))
    use = use_of(case.command.scope, case.request_id, case.body_hash)
    after = _judged(desk, case, account, evidence, use)
    if isinstance(after, Refused):
        return words.word_bytes(words.CardWord(judged=True, refused=after))
    if case.op not in words.LOOKS:
        case.work.put(_key(case, account), CARD.encode(after.used_for(use)))
    return words.word_bytes(words.CardWord(judged=True))


def use_of(*parts: str | bytes) -> bytes:
    """The name of one use of a card: of the request that it was for."""
    raw = [part.encode() if isinstance(part, str) else part for part in parts]
    return sha256(b"".join(len(part).to_bytes(4, "big") + part for part in raw)).digest()[:16]


def _blocked(case: Case, account: Account) -> Refused | None:
    """The refusal of a spend by the bare number of a chip card that is blocked or retired: whoever found a
    lost one would spend with it. It still earns, as a blocked account does.
    """
    if case.op not in words.SPENDS:
        return None
    entry = card_of(case.work, case.partition.number, account.account_id, case.command.digest)
    if entry is None or entry.chip.state is ChipState.ACTIVE:
        return None
    return card_refused(CardRefusal.BLOCKED_CARD)


def _evidence(case: Case, word: words.CardWord) -> bytes:
    given: bytes = case.ask.card_proof if case.op in words.SPENDS else b""
    return given or (pack_evidence(SunEvidence(word.tap)) if word.tap else b"")


def _judged(
    desk: Desk, case: Case, account: Account, evidence: bytes, use: bytes = b""
) -> CardEntry | Refused:
    """The card's record after what it proved; as it was, where it proved this very request before."""
    found = _card(desk, case, account)
    if isinstance(found, Refused):
        return found
    cards, entry = found
    if use and use in entry.uses:
        return entry
    units, purse = 0, ""
    if case.op in words.SPENDS:
        if len(case.ask.spends) != 1:
            return refuse(Reason.INVALID_ARGUMENT, "A card proves one spend of one purse.", field="spends")
        (spend,) = case.ask.spends
        asked = _units(case, spend)
        if isinstance(asked, Refused):
            return asked
        units, purse = asked, spend.purse
    expected = ExpectedSale(desk.settings.merchant, units, purse, case.command.scope)
    return cards.proved(entry, evidence, expected, case.now_ms)


def record(desk: Desk, case: Case, account: Account) -> Decision:
    """Notes a chip under the number by which the account was named."""
    if not case.command.digest:
        return refuse(Reason.INVALID_ARGUMENT, "Name the card by its number.", field="identifier")
    before = card_of(case.work, case.partition.number, account.account_id, case.command.digest)
    after = noted(before, case.ask)
    if isinstance(after, Refused):
        return after
    case.puts.append((_key(case, account), CARD.encode(after)))
    return note_card(account)


def cards_of(case: Case, account: Account) -> list[CardEntry]:
    """The chip cards that are noted under any number that the account has, or had."""
    number = case.partition.number
    found = (card_of(case.work, number, account.account_id, link.digest) for link in account.links)
    return [entry for entry in found if entry is not None]


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
