"""Goes through a published statement and says of each thing whether it is as it must be."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from node.proto.vafa.coalition.v1.directory_pb2 import Directory
from node.proto.vafa.settlement.v1 import close_pb2
from node.proto.vafa.settlement.v1.close_pb2 import PairClose, SignedHead, SignedPairClose, StatementHead
from node.proto.vafa.settlement.v1.statement_pb2 import SignedStatement, Statement, StatementLine
from verifier.arithmetic import (
    OPERATOR,
    Closes,
    Lines,
    Pair,
    Rules,
    computed_lines,
    number,
    owe,
    root,
    takes_part,
)
from verifier.signatures import holds, milliseconds, partner_signed, said_of_lane

CLOSE, HEAD = "application/vnd.vafa.pair-close.v1", "application/vnd.vafa.statement-head.v1"


@dataclass
class Report:
    """What was looked at: (as it must be, what), and the nets in the smallest amount that is paid."""

    checks: list[tuple[bool, str]] = field(default_factory=list)
    nets: dict[str, int] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Whether everything is as it must be."""
        return bool(self.checks) and all(good for good, _ in self.checks)

    def check(self, good: bool, what: str) -> None:
        """Enters one thing."""
        self.checks.append((good, what))


def verify(
    data: bytes, directory: Directory, directory_bytes: bytes, operator_keys: set[str], previous: bytes = b""
) -> Report:
    """The report on a SignedStatement's bytes; `previous` is the window before's, if you have it."""
    report, signed = Report(), SignedStatement.FromString(data)
    statement, head = Statement.FromString(signed.statement), StatementHead.FromString(signed.head.head)
    report.check(operator_signed(signed.head, operator_keys), "the operator signed the statement")
    same = head.statement_hash == hashlib.sha256(signed.statement).digest()
    for name in ("coalition_id", "window", "previous_head_hash", "publish_time"):
        same &= getattr(head, name) == getattr(statement, name)
    report.check(same, "the signature is of these very bytes")
    tree = (head.line_root, head.line_count) == (root(list(statement.lines)), len(statement.lines))
    report.check(tree, f"the Merkle root is that of its {len(statement.lines)} lines")
    report.check(statement.coalition_id == directory.coalition_id, "it is of the directory's coalition")
    older = statement.directory_version < directory.version
    this = (statement.directory_version, statement.directory_hash) == (
        directory.version, hashlib.sha256(directory_bytes).digest(),
    )  # fmt: skip
    report.check(older or this, "it was computed by this directory, or by an earlier one")
    window = next((one for one in directory.windows if one.number == statement.window), None)
    known = [terms for terms in directory.settlement_terms if terms.from_window <= statement.window]
    if window is None or not known:
        report.check(False, f"the directory knows window {statement.window} and how it is settled")
        return report
    terms = max(known, key=lambda one: one.from_window)
    rules = Rules(directory, window, terms)
    money = (statement.currency, statement.currency_exponent) == (terms.currency, terms.currency_exponent)
    report.check(money, f"it settles in {terms.currency} with {terms.currency_exponent} decimal places")
    cut = milliseconds(window.cut_time)
    report.check(milliseconds(statement.publish_time) >= cut, "it was published after the window's cut")
    lines = [StatementLine.FromString(line) for line in statement.lines]
    closes = _closes(report, rules, statement, lines)
    _computed(report, rules, statement, lines, closes)
    if previous:
        _continued(report, rules, operator_keys, statement, lines, previous)
    return report


def operator_signed(head: SignedHead, operator_keys: set[str]) -> bool:
    """Whether a head carries the signature of one of the operator's keys."""
    by = head.signature
    known = by.signer_id == OPERATOR and f"ed25519:{by.public_key.hex()}" in operator_keys
    return known and holds(by.public_key, HEAD, head.head, by.signature)


def _closes(report: Report, rules: Rules, statement: Statement, lines: Lines) -> Closes:
    """The closes, each checked: names, signatures, evidence, counts; and that no pair is left unsaid."""
    closes, pairs, wrong, published = [], [], [], milliseconds(statement.publish_time)
    for line in lines:
        if line.HasField("close"):
            close = PairClose.FromString(line.close.close)
            closes.append(close)
            pairs.append((close.home_id, close.acquirer_id))
            if not (_signed(rules, published, line.close, close) and _in_itself(close)):
                wrong.append(f"the close of {close.home_id} with {close.acquirer_id} is sound and signed")
        elif line.HasField("missing"):
            pairs.append((line.missing.home_id, line.missing.acquirer_id))
    partners = takes_part(rules)
    every = [(home, acquirer) for home in partners for acquirer in partners if home != acquirer]
    report.check(pairs == every, f"all {len(every)} pairs are in it, each once: {len(closes)} closes")
    for what in wrong:
        report.check(False, what)
    if not wrong:
        report.check(True, "every close is sound and signed by both, or proved where one was silent")
    return closes


def _signed(rules: Rules, published: int, signed: SignedPairClose, close: PairClose) -> bool:
    """Whether those have signed who must, and a close by one side alone ends where the other had signed."""
    (directory, window, _), home, acquirer = rules, close.home_id, close.acquirer_id
    signers, silent = {
        close_pb2.CLOSE_BASIS_AGREED: ([home, acquirer], ""),
        close_pb2.CLOSE_BASIS_HOME_ALONE: ([home], acquirer),
        close_pb2.CLOSE_BASIS_ACQUIRER_ALONE: ([acquirer], home),
    }.get(close.basis, ([], ""))
    if (close.coalition_id, close.window) != (directory.coalition_id, window.number):
        return False
    cut = milliseconds(window.cut_time)
    by_them = [
        partner_signed(directory, one, CLOSE, signed.close, cut, published) for one in signed.signatures
    ]
    if not signers or [one.signer_id for one in signed.signatures] != signers or not all(by_them):
        return False
    ends = [(one.lane, one.to_number, one.end_hash) for one in close.lanes] if silent else []
    said = [said_of_lane(directory, one.envelope, silent, signers[0]) for one in signed.evidence]
    return said == ends and [one.lane for one in signed.evidence] == [end[0] for end in ends]


def _in_itself(close: PairClose) -> bool:
    """Whether a close's lanes, counts, sums and disputes fit together."""
    lanes, ends = [one.lane for one in close.lanes], {one.lane: one.to_number for one in close.lanes}
    counts = [one.to_number - one.from_number + 1 for one in close.lanes]
    sums, disputed = [(s.kind, s.purse, s.rate_version) for s in close.sums], [d.lane for d in close.disputed]
    ordered = lanes == sorted(set(lanes)) and sums == sorted(set(sums)) and disputed == sorted(set(disputed))
    ranges = all(one.from_number >= 1 for one in close.lanes) and all(count >= 0 for count in counts)
    still = all(n or one.start_hash == one.end_hash for n, one in zip(counts, close.lanes, strict=True))
    tree = close.record_root == root([one.record_root for one in close.lanes])
    counted = sum(one.record_count for one in close.sums) <= sum(counts) == close.record_count
    positive = all(number(one.units) >= 0 < one.record_count for one in close.sums)
    held = all(ends.get(one.lane) == one.agreed_number for one in close.disputed)
    return ordered and ranges and still and tree and counted and positive and held


def _computed(report: Report, rules: Rules, statement: Statement, lines: Lines, closes: Closes) -> None:
    """Computes every line that follows from the closes, and compares the bytes."""
    carried = {(o.first_id, o.second_id): number(o.carried_micro) for o in _only(lines, "obligation")}
    prepaid = {p.partner_id: (number(p.opening), number(p.topped_up)) for p in _only(lines, "prepaid")}
    given, corrected = _only(lines, "correction"), Counter[Pair]()
    for one in given:
        owe(corrected, one.debtor_id, one.creditor_id, number(one.micro))
    try:
        expected = computed_lines(rules, closes, corrected, carried, prepaid)
    except KeyError as unknown:
        report.check(False, f"its records name rates and kinds that the directory knows, not {unknown}")
        return
    first = sum(line.HasField("close") or line.HasField("missing") for line in lines) + len(given)
    same = [line.SerializeToString() for line in expected] == list(statement.lines)[first:]
    report.check(same, f"its {len(expected)} fees, debts, nets and payments are what the closes give")
    report.nets = {net.party_id: number(net.payable) for net in _only(lines, "net")}
    report.check(sum(report.nets.values()) == 0, "the nets add up to zero")


def _continued(
    report: Report, rules: Rules, keys: set[str], statement: Statement, lines: Lines, previous: bytes
) -> None:
    """Compares with the statement before: its head, its rests and balances, and where its lanes ended."""
    signed = SignedStatement.FromString(previous)
    before = Statement.FromString(signed.statement)
    named = operator_signed(signed.head, keys) and before.window == statement.window - 1
    named &= statement.previous_head_hash == hashlib.sha256(signed.head.head).digest()
    report.check(named, "it follows the statement before, and names it")
    old = [StatementLine.FromString(line) for line in before.lines]
    here = {*takes_part(rules), OPERATOR}
    rests = {(o.first_id, o.second_id): number(o.residual_micro) for o in _only(old, "obligation")}
    left = {pair: rest for pair, rest in rests.items() if rest and here.issuperset(pair)}
    taken = {(o.first_id, o.second_id): number(o.carried_micro) for o in _only(lines, "obligation")}
    same = (left if before.currency == statement.currency else {}) == {p: r for p, r in taken.items() if r}
    report.check(same, "what rounding had left over is carried on")
    closings = {line.partner_id: line.closing for line in _only(old, "prepaid")}
    kept = all(closings.get(p.partner_id, p.opening) == p.opening for p in _only(lines, "prepaid"))
    report.check(kept, "prepaid balances go on from where they stood")
    ends = {pair: (lane.to_number + 1, lane.end_hash) for pair, lane in _lanes(old)}
    begun = [(ends.get(pair), (lane.from_number, lane.start_hash)) for pair, lane in _lanes(lines)]
    follows = all(end is None or end == start for end, start in begun)
    report.check(follows, "every lane goes on with the record after the last that was settled")


def _lanes(lines: Lines) -> list[tuple[tuple[str, str, int], close_pb2.LaneClose]]:
    closes = [PairClose.FromString(one.close) for one in _only(lines, "close")]
    return [((close.home_id, close.acquirer_id, lane.lane), lane) for close in closes for lane in close.lanes]


def _only(lines: Lines, kind: Any) -> list[Any]:
    return [getattr(line, kind) for line in lines if line.HasField(kind)]
