"""What a dispute means, in words that somebody in finance understands."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from node.coalition.messages import PostedCore, RecordKind
from node.settlement.documents import DisputedLane, MismatchClass

_MOVED = {
    RecordKind.ACCRUAL: "points earned",
    RecordKind.REDEMPTION: "points spent",
    RecordKind.ACCRUAL_RETURN: "earned points taken back",
    RecordKind.REDEMPTION_RETURN: "spent points given back",
    RecordKind.CUT: "the mark that ends a window",
}

_MEANINGS = {
    MismatchClass.MISSING_AT_ACQUIRER: (
        "Meaning: {home} posted what {acquirer} never received, or lost.",
        "To do: nothing, if the node of {acquirer} runs: it fetches the records from {home}, and they are "
        "settled next time.",
    ),
    MismatchClass.MISSING_AT_HOME: (
        "Meaning: {home} has lost what it posted and signed; {acquirer} still has it.",
        "To do: nothing, if the node of {home} runs: it takes the records back from {acquirer}, and they are "
        "settled next time.",
    ),
    MismatchClass.FORK: (
        "Meaning: {home} signed two different records under one number. Both signatures hold, so this is "
        "not a matter of opinion: it is fraud, or a backup that was put back without telling.",
        "To do: {acquirer} keeps the evidence and tells the operator; the lane stays frozen until then.",
    ),
    MismatchClass.UNSIGNED: (
        "Meaning: one side shows a record that does not carry both signatures. It counts for nothing.",
        "To do: the side that shows it finds out where it comes from; the operator can see both.",
    ),
}
"""What each kind of mismatch means, and what is to be done."""


class HeldBack(Struct, frozen=True):
    """What one side has on a lane beyond the agreed records: how many, and what they are worth.

    `owed_micro` is what the acquirer owes the home node by them, in micro-units of the settlement currency.
    """

    records: int
    owed_micro: int


class DisputeFacts(Struct, frozen=True):
    """A disputed lane with what each side shows and holds. `home_core` is the first record after the agreed
    ones.
    """

    home_id: str
    acquirer_id: str
    window: int
    lane: DisputedLane
    currency: str
    home_core: PostedCore | None = None
    acquirer_core: PostedCore | None = None
    home_rest: HeldBack | None = None
    acquirer_rest: HeldBack | None = None


def dispute_report(facts: DisputeFacts, names: Mapping[str, str]) -> str:
    """The report: what is settled, what is not, why, how much it is about, and what each side should do."""
    home = names.get(facts.home_id, facts.home_id)
    acquirer = names.get(facts.acquirer_id, facts.acquirer_id)
    lane, number = facts.lane, facts.lane.agreed_number + 1
    lines = [
        f"Members of {home} at {acquirer}, window {facts.window}, lane {lane.lane}.",
        f"Settled: all records up to number {lane.agreed_number}; both sides have them alike."
        if lane.agreed_number
        else "Settled: nothing of this lane yet.",
        f"Not settled: record {number} and those after it. They wait for a later window; nothing is lost, "
        "and no other merchant is concerned.",
        "",
        *_shown(facts, home, acquirer, number),
        *(words.format(home=home, acquirer=acquirer) for words in _MEANINGS[lane.mismatch]),
    ]
    for name, rest in ((home, facts.home_rest), (acquirer, facts.acquirer_rest)):
        if rest is not None:
            debtor, creditor = (acquirer, home) if rest.owed_micro >= 0 else (home, acquirer)
            amount = _money(abs(rest.owed_micro))
            lines.append(
                f"By the records of {name}, {rest.records} records wait; by them {debtor} owes {creditor} "
                f"{amount} {facts.currency}."
            )
    return "\n".join(lines)


def _shown(facts: DisputeFacts, home: str, acquirer: str, number: int) -> list[str]:
    """What each side shows; nothing where only the close is at hand, which has no records in it."""
    if facts.home_core is None and facts.acquirer_core is None:
        return []
    sides = ((home, facts.home_core), (acquirer, facts.acquirer_core))
    return [*(_side(name, core, number) for name, core in sides), ""]


def _side(name: str, core: PostedCore | None, number: int) -> str:
    if core is None:
        return f"{name} shows no record {number}."
    what = _MOVED[core.kind]
    units = "" if core.kind is RecordKind.CUT else f"{core.units:,} "
    return f"{name} shows as record {core.number}: {units}{what}, by rate version {core.rate_version}."


def _money(micro: int) -> str:
    amount = Decimal(micro).scaleb(-6)
    text = f"{amount:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
