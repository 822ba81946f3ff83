"""A window's statement: the lines that follow from its closes, and what is carried into the next window.

`compose` is the whole computation, so that whoever has the same closes, directory and carried rests gets
the same lines. Every merchant recomputes it; the verifier does so with code of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from node.coalition.directory import Directory, Funding, SettlementTerms
from node.settlement import fees, netting, prepaid
from node.settlement.documents import (
    OPERATOR_ID,
    Correction,
    Line,
    MissingClose,
    Obligation,
    SignedClose,
    StatementFacts,
)
from node.settlement.windows import partners_of


class WindowInput(Struct, frozen=True):
    """All that a statement follows from, beside the directory."""

    closes: tuple[SignedClose, ...]
    missing: tuple[MissingClose, ...] = ()
    corrections: tuple[Correction, ...] = ()
    carried: Mapping[tuple[str, str], int] = {}
    """What rounding left over by the statement before, in micro-units; see `carried_from`."""
    prepaid: Mapping[str, tuple[int, int]] = {}
    """(balance after the statement before, topped up since) of the prepaid partners."""


def facts_of(
    directory: Directory,
    directory_hash: bytes,
    terms: SettlementTerms,
    window: int,
    publish_time_ms: int,
    previous_head_hash: bytes = b"",
) -> StatementFacts:
    """A statement's own fields."""
    return StatementFacts(
        directory.coalition_id,
        window,
        directory.version,
        directory_hash,
        publish_time_ms,
        terms.currency,
        terms.currency_exponent,
        previous_head_hash,
    )


def compose(directory: Directory, terms: SettlementTerms, window: int, given: WindowInput) -> list[Line]:
    """The lines of a statement in their order.

    `netting.RateUnknown` where a record's rate has no worth in the settlement currency; the closes
    themselves were checked when they were taken.
    """
    closes = sorted(given.closes, key=lambda one: one.close.pair)
    values = netting.unit_values(directory, terms)
    partners = partners_of(directory, window)
    done = fees.activities((one.close for one in closes), values)
    fee_lines = fees.fee_lines(terms, partners, done)
    owed = netting.traded((one.close for one in closes), values) | fees.owed_to_operator(fee_lines)
    scale = netting.scale_of(terms)
    obligations = netting.obligations(owed, given.carried, given.corrections, scale)
    results = netting.nets(obligations, [*partners, OPERATOR_ID])
    ahead = prepaid_partners(directory, partners)
    payable = {net.party_id: net.payable for net in results}
    balances = [
        prepaid.line_of(partner_id, *given.prepaid.get(partner_id, (0, 0)), payable[partner_id])
        for partner_id in sorted(ahead)
    ]
    moves = netting.payments(
        results,
        prepaid=ahead,
        by_agent=terms.agent_account is not None,
        coalition_id=directory.coalition_id,
        window=window,
    )
    pairs: list[SignedClose | MissingClose] = [*closes, *given.missing]
    return [
        *sorted(pairs, key=pair_of),
        *given.corrections,
        *fee_lines,
        *obligations,
        *results,
        *balances,
        *moves,
    ]


def prepaid_partners(directory: Directory, partners: Iterable[str]) -> frozenset[str]:
    """Which of the partners pay ahead."""
    known = {one.partner_id: one.funding for one in directory.partners}
    return frozenset(one for one in partners if known.get(one) is Funding.PREPAID)


def pair_of(line: SignedClose | MissingClose) -> tuple[str, str]:
    """(home, acquirer) of a line about a pair."""
    return line.close.pair if isinstance(line, SignedClose) else (line.home_id, line.acquirer_id)


def carried_from(
    lines: Iterable[Line], *, same_currency: bool, partners: Sequence[str]
) -> dict[tuple[str, str], int]:
    """What the next window takes over from these lines: each pair's rest in micro-units.

    Nothing where the settlement currency or its smallest amount changes, and nothing of a pair with a
    partner that takes no part any more: a rest is at most half the smallest amount that is paid.
    """
    if not same_currency:
        return {}
    known = {*partners, OPERATOR_ID}
    return {
        (line.first_id, line.second_id): line.residual_micro
        for line in lines
        if isinstance(line, Obligation)
        and line.residual_micro
        and line.first_id in known
        and line.second_id in known
    }
