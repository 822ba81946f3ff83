"""Whether a directory is sound, and whether it may follow the one before it.

The operator is told before it signs; every node checks the same before it follows. An operator whose key was
stolen can then still add and cap, but can neither change what a rate was, nor move a window that has begun,
nor take away a key whose signatures somebody relies on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from node.coalition.directory import OPERATOR_ID, Directory, Partner

MAX_LISTED_PROBLEMS = 20


def problems(directory: Directory) -> list[str]:
    """What is wrong with a directory by itself, in words for the operator; empty where it is sound."""
    found = [
        *_partner_problems(directory),
        *_range_problems(directory),
        *_rate_problems(directory),
        *_window_problems(directory),
        *_cap_problems(directory),
        *_bound_problems(directory),
        *_settlement_problems(directory),
    ]
    return found[:MAX_LISTED_PROBLEMS]


def succession_problems(before: Directory, after: Directory) -> list[str]:
    """Why `after` may not follow `before`, of which others may have acted already; empty where it may."""
    found: list[str] = []
    if after.coalition_id != before.coalition_id:
        found.append(f"It is of the coalition {after.coalition_id}, not of {before.coalition_id}.")
    if after.version <= before.version:
        found.append(f"Its version {after.version} is not above {before.version}.")
    if after.publish_time_ms < before.publish_time_ms:
        found.append("It was published before the one that it would follow.")
    if (after.purse.code, after.purse.exponent) != (before.purse.code, before.purse.exponent):
        found.append("The coalition purse's code and exponent stay as they were.")
    found.extend(
        f"Rate version {rate.version} was changed or taken out; add a new version instead."
        for rate in before.rates
        if after.rate(rate.version) != rate
    )
    for window in before.windows:
        begun = window.open_time_ms <= after.publish_time_ms
        if begun and after.window(window.number) != window:
            found.append(f"Window {window.number} has begun and was changed or taken out.")
    begun_window = max(
        (w.number for w in before.windows if w.open_time_ms <= after.publish_time_ms), default=0
    )
    found.extend(
        f"The settlement terms from window {terms.from_window} apply already and were changed."
        for terms in before.settlement_terms
        if terms.from_window <= begun_window and terms not in after.settlement_terms
    )
    for partner in before.partners:
        found.extend(_changes_of(partner, after.partner(partner.partner_id)))
    return found[:MAX_LISTED_PROBLEMS]


def _changes_of(before: Partner, after: Partner | None) -> Iterator[str]:
    if after is None:
        yield f"{before.partner_id} is gone: a partner that leaves stays, with the status of one that left."
        return
    if after.partitions != before.partitions:
        yield f"{before.partner_id} has {before.partitions} partitions, and their number never changes."
    for key in before.keys:
        if after.key(key.uri) is None:
            yield (
                f"A key of {before.partner_id} is gone, and with it whatever it signed: "
                f"end its time instead ({key.uri})."
            )


def _partner_problems(directory: Directory) -> Iterator[str]:
    counts = Counter(partner.partner_id for partner in directory.partners)
    for partner_id in sorted(name for name, count in counts.items() if count > 1):
        yield f"{partner_id} stands in it twice."
    owners: dict[str, str] = {}
    for partner in directory.partners:
        name = partner.partner_id
        if not partner.keys:
            yield f"{name} has no key."
        if not partner.authority_pem:
            yield f"{name} has no authority certificate."
        if not 1 <= partner.partitions <= 64:
            yield f"{name} says {partner.partitions} partitions; a node has 1 to 64."
        relay = partner.relay_partner_id
        if relay and (relay == name or directory.partner(relay) is None):
            yield f"{name} names {relay} as its relay, who is not another partner."
        for key in partner.keys:
            if key.not_after_ms and key.not_after_ms <= key.not_before_ms:
                yield f"A key of {name} ends before it begins ({key.uri})."
            if owners.setdefault(key.uri, name) != name:
                yield f"{name} and {owners[key.uri]} have the same key."
        if len({key.uri for key in partner.keys}) != len(partner.keys):
            yield f"{name} lists a key twice."


def _settlement_problems(directory: Directory) -> Iterator[str]:
    if directory.partner(OPERATOR_ID) is not None:
        yield f"No partner may be called {OPERATOR_ID}: statements name the operator so."
    starts = [terms.from_window for terms in directory.settlement_terms]
    if starts != sorted(set(starts)):
        yield "Settlement terms stand in the order of their first windows, one for each."
    for terms in directory.settlement_terms:
        codes = [(fee.code, fee.partner_id) for fee in terms.fees]
        if len(codes) != len(set(codes)):
            yield f"The settlement terms from window {terms.from_window} on have a fee twice."
        for rate in terms.restated_rates:
            if directory.rate(rate.rate_version) is None:
                yield f"Settlement terms restate rate version {rate.rate_version}, which there is not."


def _range_problems(directory: Directory) -> Iterator[str]:
    spans = sorted(
        (
            (span.kind, span.prefix, partner.partner_id)
            for partner in directory.partners
            for span in partner.ranges
        ),
    )
    # In this order a prefix stands right before what begins with it, so neighbours are enough.
    for (kind, prefix, owner), (other_kind, other, other_owner) in pairwise(spans):
        if kind == other_kind and other.startswith(prefix):
            yield f"The ranges {prefix} of {owner} and {other} of {other_owner} overlap."


def _rate_problems(directory: Directory) -> Iterator[str]:
    if not directory.rates:
        yield "There is no rate: say what a unit is worth."
    for before, after in pairwise(directory.rates):
        if after.version <= before.version or after.effective_time_ms <= before.effective_time_ms:
            yield f"Rate version {after.version} must come after version {before.version} in number and time."
    for rate in directory.rates:
        if rate.version < 1 or rate.accrual_micro < 0 or rate.redemption_micro < 0:
            yield f"Rate version {rate.version} is below what a version or a worth can be."


def _window_problems(directory: Directory) -> Iterator[str]:
    if not directory.windows:
        yield "There is no settlement window: write the calendar."
    for window in directory.windows:
        if window.cut_time_ms <= window.open_time_ms:
            yield f"Window {window.number} is cut before it opens."
    for before, after in pairwise(directory.windows):
        if after.number != before.number + 1:
            yield f"Window {after.number} follows window {before.number}; numbers rise by one."
        if after.open_time_ms != before.cut_time_ms:
            yield f"Between the windows {before.number} and {after.number} there is a gap or an overlap."


def _cap_problems(directory: Directory) -> Iterator[str]:
    pairs = Counter((cap.debtor_id, cap.creditor_id) for cap in directory.caps)
    for debtor, creditor in pairs:
        if pairs[debtor, creditor] > 1:
            yield f"The cap of {debtor} towards {creditor} is set twice."
        if debtor == creditor or not (directory.partner(debtor) and directory.partner(creditor)):
            yield f"The cap of {debtor} towards {creditor} is not one between two partners."
    if any(cap.units < 0 for cap in directory.caps):
        yield "A cap is below 0."


def _bound_problems(directory: Directory) -> Iterator[str]:
    bounds = directory.bounds
    for name, value, least, most in (
        ("freshness_seconds", bounds.freshness_seconds, 10, 3_600),
        ("accrual_lateness_days", bounds.accrual_lateness_days, 1, 365),
        ("hold_seconds_max", bounds.hold_seconds_max, 60, 30 * 86_400),
        ("window_skew_seconds", bounds.window_skew_seconds, 0, 3_600),
    ):
        if not least <= value <= most:
            yield f"{name} is {value}; it lies between {least} and {most}."
    for key in directory.operator_keys:
        if key.not_after_ms and key.not_after_ms <= key.not_before_ms:
            yield f"A key of the operator ends before it begins ({key.uri})."
