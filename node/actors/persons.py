"""What is asked of the person behind an account: keep, change, erase, and say who it is."""

from __future__ import annotations

from datetime import date

from node.actors import card_proofs, pin_proofs
from node.actors.desk import Case, Desk
from node.actors.tills import send_later
from node.actors.vault import Vault
from node.ledger import membership
from node.ledger.account import Account
from node.ledger.days import local_date
from node.ledger.decision import Decision
from node.ledger.refusals import Reason, Refused, refuse
from node.people import person as people
from node.people.invalid import Invalid
from node.people.person import Person
from node.wire import inquiries
from node.wire.commands import Op, encode
from node.wire.persons import refusal_of
from node.wire.records import Dispatch
from node.wire.steps import LinkAgreement


def _vault(desk: Desk) -> Vault | Refused:
    if desk.vault is None:
        return refuse(Reason.UNAVAILABLE, "This shard was started without a key for persons' data.")
    return desk.vault


def _today(desk: Desk, case: Case) -> date:
    return local_date(case.now_ms, desk.settings.time_zone)


def enrol(desk: Desk, case: Case, person_id: bytes) -> Person | Refused:
    """Keeps a new person's data, or says why not."""
    vault, ask = _vault(desk), case.ask
    if isinstance(vault, Refused):
        return vault
    new = people.enrol(
        ask.person,
        referrer=ask.referrer.hex(),
        source=ask.source,
        created_at_ms=case.now_ms,
        today=_today(desk, case),
    )
    if isinstance(new, Invalid):
        return refusal_of(new)
    vault.keep(case, person_id, new)
    return new


def update(desk: Desk, case: Case, account: Account) -> Decision:
    """Changes what is known of the person; of one of whom nothing was known, it is the first."""
    noted, vault = membership.note_person(account), _vault(desk)
    if isinstance(noted, Refused):
        return noted
    if isinstance(vault, Refused):
        return vault
    (person_id,) = account.holders
    before = vault.open(case, person_id)
    if isinstance(before, Refused):
        return before
    changes = case.ask.changes
    after = people.change(before or Person(case.now_ms), changes, today=_today(desk, case))
    if isinstance(after, Invalid):
        return refusal_of(after)
    vault.keep(case, person_id, after)
    return membership.note_person(account, people.language_of(after.locale))


def erase(desk: Desk, case: Case, account: Account) -> Decision:
    """Destroys what is known of the person, and takes every identifier off the account.

    An identifier is personal data too, if only as a keyed digest: kept linked, it would still say whose the
    account is. The account stays open with its balances, reached by its id alone.
    """
    decision, vault = membership.erase_person(account, case.now_ms, case.occurred_ms), _vault(desk)
    if isinstance(decision, Refused):
        return decision
    if isinstance(vault, Refused):
        return vault
    if not account.erased:
        (person_id,) = account.holders
        vault.destroy(case, person_id)
        card_proofs.forget(case, account)
        pin_proofs.forget(case, account)
        agree_later(desk, case, open_digests(account), person_id)
    return decision


def known(desk: Desk, case: Case, account: Account) -> Person | Refused | None:
    """What is known of the account's person; None where it has none, or where nothing is known."""
    person_id = membership.person_of(account)
    if isinstance(person_id, Refused) or desk.vault is None:
        return None
    return desk.vault.open(case, person_id)


def identify(desk: Desk, case: Case, account: Account) -> bytes:
    """Who stands at the till: enough of a name to greet by, and the language to do it in."""
    person = known(desk, case, account)
    name = locale = ""
    if isinstance(person, Person):  # what cannot be opened is no reason to turn a customer away
        name, locale = people.masked_name(people.shown_name(person)), person.locale
    currency = desk.settings.currency
    return inquiries.identified(account, case.edition.purses, currency, case.now_ms, name, locale)


def open_digests(account: Account) -> tuple[bytes, ...]:
    """The identifiers that still stand for the account."""
    return tuple(link.digest for link in account.links if not link.until_ms)


def agree_later(desk: Desk, case: Case, digests: tuple[bytes, ...], erased_person: bytes = b"") -> None:
    """Sees to it that the index ends what the account ends, and that an erasure is listed, come what may."""
    if digests or erased_person:
        body = encode(LinkAgreement(digests, erased_person))
        account_id = case.command.account_id
        send_later(case, Dispatch(Op.AGREE_LINKS, case.partition.number, account_id, body, case.now_ms))
