"""A window's statement made, and made again by whoever doubts it.

`publish` is what the operator does. `recheck` is what every merchant does with the file: it looks at each
signature, computes every line anew from the closes, and compares its own closes with the published ones
byte for byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import zip_longest

from msgspec import Struct

from node.coalition.directory import Directory, SettlementTerms
from node.identity.signers import Signer
from node.settlement.documents import (
    Correction,
    Line,
    MissingClose,
    Obligation,
    PrepaidLine,
    SignedClose,
)
from node.settlement.netting import AmountTooWide, RateUnknown
from node.settlement.statement import WindowInput, compose, facts_of, pair_of
from node.settlement.windows import pairs_of, terms_of
from node.wire.settlement import close_bytes
from node.wire.settlement_lines import (
    ReadStatement,
    head_of,
    line_bytes,
    read_signed_statement,
    signed_statement_bytes,
    statement_bytes,
)
from node.wire.settlement_signing import Open, close_problem, operator_signed, sign_head


class Finding(Struct, frozen=True):
    """One thing that was looked at: whether it agrees, and what, in words for a person."""

    agrees: bool
    what: str


def publish(
    directory: Directory,
    directory_body: bytes,
    terms: SettlementTerms,
    window: int,
    given: WindowInput,
    signer: Signer,
    *,
    now_ms: int,
    previous_head_hash: bytes = b"",
) -> bytes:
    """The signed statement of a window, as it is published; `directory_body` are the bytes that were signed.

    Raises what `compose` raises.
    """
    digest = hashlib.sha256(directory_body).digest()
    facts = facts_of(directory, digest, terms, window, now_ms, previous_head_hash)
    lines = [line_bytes(line) for line in compose(directory, terms, window, given)]
    statement = statement_bytes(facts, lines)
    return signed_statement_bytes(statement, sign_head(head_of(facts, statement, lines), signer))


def head_hash(statement: ReadStatement) -> bytes:
    """By what the next statement names this one."""
    return hashlib.sha256(statement.head.head_bytes).digest()


def recheck(
    data: bytes,
    directory: Directory,
    operator_uris: Iterable[str],
    open_: Open,
    own_closes: Mapping[tuple[str, str], bytes],
    carried: Mapping[tuple[str, str], int] | None = None,
) -> list[Finding]:
    """What agrees in a published statement and what does not, from a merchant's own point of view.

    `own_closes` are the closes that the merchant computes from its own records, by (home, acquirer).
    `carried` is what the statement before left over (`statement.carried_from`), None where that is not at
    hand. Raises DocumentUnreadable for what is no statement at all.
    """
    statement = read_signed_statement(data)
    facts = statement.facts
    window, terms = directory.window(facts.window), terms_of(directory, facts.window)
    found = [
        Finding(operator_signed(statement.head, operator_uris), "the operator signed it"),
        Finding(facts.coalition_id == directory.coalition_id, "it is of this coalition"),
    ]
    if window is None or terms is None:
        return [*found, Finding(False, f"the directory knows window {facts.window} and its terms")]
    money = (facts.currency, facts.currency_exponent) == (terms.currency, terms.currency_exponent)
    found.append(Finding(money, f"it settles in {terms.currency}, as the directory says"))
    closes = [line for line in statement.lines if isinstance(line, SignedClose)]
    problems = [
        Finding(False, f"the close of {' with '.join(one.close.pair)}: {problem}")
        for one in closes
        if (problem := close_problem(directory, window, one, facts.publish_time_ms, open_))
    ]
    found += problems or [Finding(True, f"all signatures of its {len(closes)} closes hold")]
    found.append(_all_pairs(directory, statement))
    found += _own(closes, statement, own_closes)
    return [*found, *_computed(directory, terms, statement, carried)]


def _all_pairs(directory: Directory, statement: ReadStatement) -> Finding:
    said = [pair_of(line) for line in statement.lines if isinstance(line, SignedClose | MissingClose)]
    complete = said == pairs_of(directory, statement.facts.window)
    return Finding(complete, "every pair of its partners is in it, once")


def _own(
    closes: Iterable[SignedClose], statement: ReadStatement, own: Mapping[tuple[str, str], bytes]
) -> list[Finding]:
    published = {one.close.pair: one for one in closes}
    left_out = {pair_of(line) for line in statement.lines if isinstance(line, MissingClose)}
    found = []
    for pair, mine in sorted(own.items()):
        name = " with ".join(pair)
        if pair in left_out:
            found.append(Finding(True, f"{name}: left out of this window, the records stay for the next"))
        elif pair not in published:
            found.append(Finding(False, f"{name}: is not in it"))
        else:
            same = published[pair].close_bytes == mine
            how = "is what our own records give" if same else "is NOT what our own records give"
            found.append(Finding(same, f"{name}: the published close {how}"))
    return found


def _computed(
    directory: Directory,
    terms: SettlementTerms,
    statement: ReadStatement,
    carried: Mapping[tuple[str, str], int] | None,
) -> list[Finding]:
    lines = statement.lines
    rests = {
        (line.first_id, line.second_id): line.carried_micro
        for line in lines
        if isinstance(line, Obligation) and line.carried_micro
    }
    found = []
    if carried is not None:
        same = rests == dict(carried)
        found.append(Finding(same, "what was carried over is what the statement before left"))
    given = WindowInput(
        closes=tuple(line for line in lines if isinstance(line, SignedClose)),
        missing=tuple(line for line in lines if isinstance(line, MissingClose)),
        corrections=tuple(line for line in lines if isinstance(line, Correction)),
        carried=rests,
        prepaid={
            line.partner_id: (line.opening, line.topped_up) for line in lines if isinstance(line, PrepaidLine)
        },
    )
    try:
        expected = compose(directory, terms, statement.facts.window, given)
    except (RateUnknown, AmountTooWide) as wrong:
        return [*found, Finding(False, f"its lines can be computed: {wrong}")]
    return found + _compared(expected, statement)


def _compared(expected: list[Line], statement: ReadStatement) -> list[Finding]:
    pairs = zip_longest(map(line_bytes, expected), statement.line_bytes)
    wrong = [number for number, (mine, theirs) in enumerate(pairs, 1) if mine != theirs]
    if not wrong:
        return [Finding(True, f"all of its {len(expected)} lines are what its closes give, byte for byte")]
    return [Finding(False, f"line {number} is not what its closes give") for number in wrong[:20]]


def own_bytes(closes: Iterable[SignedClose]) -> dict[tuple[str, str], bytes]:
    """Closes by pair as `recheck` compares them."""
    return {one.close.pair: close_bytes(one.close) for one in closes}
