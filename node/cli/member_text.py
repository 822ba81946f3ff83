"""Members as people read them: names isolated, so that Persian and Arabic ones turn nothing around."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp

from node.cli.connection import units
from node.people.text import isolate
from node.proto.vafa.common.v1 import balance_pb2, effect_pb2, identifier_pb2, transaction_pb2
from node.proto.vafa.member.v1 import chip_card_pb2, person_pb2
from node.proto.vafa.member.v1 import member_service_pb2 as pb

LABEL_WIDTH = 11


def moment(stamp: Timestamp, zone: str) -> str:
    """A time as a clock in the merchant's zone shows it."""
    return datetime.fromtimestamp(stamp.ToMilliseconds() / 1000, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")


def member_lines(member: pb.GetMemberResponse, zone: str) -> Iterator[str]:
    """A member, one fact a line."""
    kind = pb.AccountKind.Name(member.kind).removeprefix("ACCOUNT_KIND_").lower()
    yield _line("account", member.account_id)
    yield _line("", f"{kind}, {member.status}, since {moment(member.open_time, zone)}")
    if member.HasField("person"):
        yield from _person_lines(member.person, zone)
    for linked in member.identifiers:
        what = identifier_pb2.IdentifierKind.Name(linked.kind).removeprefix("IDENTIFIER_KIND_").lower()
        yield _line("linked", f"{what} …{isolate(linked.hint)} since {moment(linked.since_time, zone)}")
    for recorded in member.cards:
        yield _line("chip card", card_line(recorded))
    if member.pin_state:
        yield _line("PIN", member.pin_state)
    if member.pool_account_id:
        yield _line("pool", member.pool_account_id)
    yield from balance_lines(member.balances, zone)
    exponents = exponents_of(member.balances)
    for proposal in member.proposals:
        amount = units(proposal.units, exponents.get(proposal.purse, 0))
        yield _line(
            "waits",
            f"{proposal.proposal_id}: {amount} {proposal.purse}, asked by {proposal.author}: "
            f"{isolate(proposal.reason)}",
        )


def card_line(recorded: chip_card_pb2.RecordedCard) -> str:
    """A chip card in one line: number, kind, key version, whether it may prove anything."""
    chip = recorded.card
    kind = chip_card_pb2.ChipProfile.Name(chip.profile).removeprefix("CHIP_PROFILE_").lower()
    state = chip_card_pb2.ChipState.Name(chip.state).removeprefix("CHIP_STATE_").lower()
    return f"{recorded.number}, {kind}, chip {chip.chip_uid.hex()}, keys {chip.key_version}, {state}"


def _person_lines(person: person_pb2.Person, zone: str) -> Iterator[str]:
    name = f"{person.given_name} {person.family_name}".strip()
    facts = {"name": name, "phone": person.phone, "e-mail": person.email, "locale": person.locale}
    for label, text in facts.items():
        if text:
            yield _line(label, isolate(text))
    if person.HasField("birth_date"):
        calendar = person_pb2.Calendar.Name(person.birth_date.calendar).removeprefix("CALENDAR_").lower()
        yield _line("born", f"{person.birth_date.date} ({calendar})")
    for said in person.consents:
        channel = person_pb2.Channel.Name(said.channel).removeprefix("CHANNEL_").lower()
        purpose = person_pb2.Purpose.Name(said.purpose).removeprefix("PURPOSE_").lower().replace("_", "-")
        answer = f"yes to text {isolate(said.text_version)}" if said.granted else "no"
        where = f", {isolate(said.source)}" if said.source else ""
        yield _line("consent", f"{channel}:{purpose} {answer}, {moment(said.time, zone)}{where}")
    if person.referrer_account_id:
        yield _line("referrer", person.referrer_account_id)
    if person.source:
        yield _line("source", isolate(person.source))


def balance_lines(balances: Iterable[balance_pb2.PurseBalance], zone: str) -> Iterator[str]:
    """Purses, one a line."""
    for one in balances:
        text = f"{units(one.spendable, one.exponent)} spendable"
        if one.pending:
            text += f", {units(one.pending, one.exponent)} pending"
        if one.held:
            text += f", {units(one.held, one.exponent)} held"
        if one.HasField("next_expiry_time"):
            expiring = units(one.next_expiry_units, one.exponent)
            text += f"; {expiring} expire {moment(one.next_expiry_time, zone)}"
        yield _line(one.purse, text)


def exponents_of(balances: Iterable[balance_pb2.PurseBalance]) -> dict[str, int]:
    """Decimals by purse."""
    return {one.purse: one.exponent for one in balances}


def transaction_line(one: transaction_pb2.Transaction, exponents: Mapping[str, int], zone: str) -> str:
    """A transaction on one line: when, what, what it brought and took, where, its id."""
    kind = transaction_pb2.TransactionKind.Name(one.kind).removeprefix("TRANSACTION_KIND_").lower()
    moved = [_brought(effect, exponents) for effect in one.effects]
    moved += [f"-{units(spent.units, exponents.get(spent.purse, 0))} {spent.purse}" for spent in one.spent]
    what = ", ".join(filter(None, moved)) + (" (reversed)" if one.reversed else "")
    receipt = f"receipt {isolate(one.receipt_number)}" if one.receipt_number else ""
    where = " ".join(filter(None, (one.terminal_id, receipt)))
    return (
        f"{moment(one.occurred_time, zone)}  {kind:<13} {what:<32} {one.transaction_id:<14} {where}".rstrip()
    )


def _brought(effect: effect_pb2.Effect, exponents: Mapping[str, int]) -> str:
    which = effect.WhichOneof("kind")
    if which == "points":
        purse, amount = effect.points.purse, effect.points.units
    elif which == "stamp":
        purse, amount = effect.stamp.purse, effect.stamp.stamps
    else:
        return isolate(effect.receipt_text) if effect.receipt_text else ""
    return f"{'+' if amount > 0 else ''}{units(amount, exponents.get(purse, 0))} {purse}"


def _line(label: str, text: str) -> str:
    return f"{label:<{LABEL_WIDTH}} {text}"
