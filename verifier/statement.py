"""Goes through a published statement and says of each thing whether it is as it must be."""

import hashlib
from dataclasses import dataclass, field

from node.proto.vafa.coalition.v1.directory_pb2 import Directory, SettlementTerms, Window
from node.proto.vafa.settlement.v1.close_pb2 import (
    CloseBasis,
    PairClose,
    SignedHead,
    SignedPairClose,
    StatementHead,
)
from node.proto.vafa.settlement.v1.statement_pb2 import SignedStatement, Statement, StatementLine
from verifier import arithmetic
from verifier.arithmetic import number
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
    statement = Statement.FromString(signed.statement)
    report.check(operator_signed(signed.head, operator_keys), "the operator signed the statement")
    head = StatementHead.FromString(signed.head.head)
    same = head.statement_hash == hashlib.sha256(signed.statement).digest()
    same &= (head.coalition_id, head.window) == (statement.coalition_id, statement.window)
    report.check(same and head.publish_time == statement.publish_time, "the signature is of these very bytes")
    tree = head.line_root == arithmetic.root(list(statement.lines)) and head.line_count == len(
        statement.lines
    )
    report.check(tree, f"the Merkle root is that of its {len(statement.lines)} lines")
    report.check(statement.coalition_id == directory.coalition_id, "it is of the directory's coalition")
    older = statement.directory_version < directory.version
    this = statement.directory_hash == hashlib.sha256(directory_bytes).digest()
    report.check(older or this, "it was computed by this directory, or by an earlier one")
    window = next((one for one in directory.windows if one.number == statement.window), None)
    known = [terms for terms in directory.settlement_terms if terms.from_window <= statement.window]
    if window is None or not known:
        report.check(False, f"the directory knows window {statement.window} and how it is settled")
        return report
    terms = max(known, key=lambda one: one.from_window)
    money = (statement.currency, statement.currency_exponent) == (terms.currency, terms.currency_exponent)
    report.check(money, f"it settles in {terms.currency} with {terms.currency_exponent} decimal places")
    lines = [StatementLine.FromString(line) for line in statement.lines]
    closes = _closes(report, directory, window, statement, lines)
    _computed(report, directory, terms, statement, lines, closes)
    if previous:
        _continued(report, directory, operator_keys, statement, lines, closes, previous)
    return report


def operator_signed(head: SignedHead, operator_keys: set[str]) -> bool:
    """Whether a head carries the signature of one of the operator's keys."""
    by = head.signature
    known = by.signer_id == arithmetic.OPERATOR and f"ed25519:{by.public_key.hex()}" in operator_keys
    return known and holds(by.public_key, HEAD, head.head, by.signature)


def _closes(
    report: Report, directory: Directory, window: Window, statement: Statement, lines: list[StatementLine]
) -> list[PairClose]:
    """The closes, each checked: names, signatures, evidence, counts; and that no pair is left unsaid."""
    closes, pairs, wrong = [], [], []
    for line in lines:
        if line.HasField("close"):
            close = PairClose.FromString(line.close.close)
            closes.append(close)
            pairs.append((close.home_id, close.acquirer_id))
            if not _close_sound(directory, window, milliseconds(statement.publish_time), line.close, close):
                wrong.append(f"{close.home_id} with {close.acquirer_id}")
        elif line.HasField("missing"):
            pairs.append((line.missing.home_id, line.missing.acquirer_id))
    partners = arithmetic.takes_part(directory, statement.window)
    every = [(home, acquirer) for home in partners for acquirer in partners if home != acquirer]
    report.check(pairs == every, f"all {len(every)} pairs are in it, each once: {len(closes)} closes")
    for name in wrong:
        report.check(False, f"the close of {name} is sound and signed")
    if not wrong:
        report.check(True, "every close is sound and signed by both, or proved where one was silent")
    return closes


def _close_sound(
    directory: Directory, window: Window, published: int, signed: SignedPairClose, close: PairClose
) -> bool:
    alone = {
        CloseBasis.CLOSE_BASIS_AGREED: (close.home_id, close.acquirer_id),
        CloseBasis.CLOSE_BASIS_HOME_ALONE: (close.home_id,),
        CloseBasis.CLOSE_BASIS_ACQUIRER_ALONE: (close.acquirer_id,),
    }
    if (close.coalition_id, close.window) != (directory.coalition_id, window.number):
        return False
    if tuple(one.signer_id for one in signed.signatures) != alone.get(close.basis):
        return False
    cut = milliseconds(window.cut_time)
    if not all(
        partner_signed(directory, one, CLOSE, signed.close, cut, published) for one in signed.signatures
    ):
        return False
    if close.basis != CloseBasis.CLOSE_BASIS_AGREED:
        by, silent = close.home_id, close.acquirer_id
        if close.basis == CloseBasis.CLOSE_BASIS_ACQUIRER_ALONE:
            by, silent = silent, by
        said = [said_of_lane(directory, one.envelope, silent, by) for one in signed.evidence]
        if said != [(one.lane, one.to_number, one.end_hash) for one in close.lanes]:
            return False
    lanes, count = [one.lane for one in close.lanes], 0
    for one in close.lanes:
        count += one.to_number - one.from_number + 1
        if one.from_number < 1 or one.to_number < one.from_number - 1:
            return False
    ends = {one.lane: one.to_number for one in close.lanes}
    if close.record_root != arithmetic.root([one.record_root for one in close.lanes]):
        return False
    held = all(ends.get(one.lane) == one.agreed_number for one in close.disputed)
    counted = sum(one.record_count for one in close.sums) <= count == close.record_count
    positive = all(number(one.units) >= 0 < one.record_count for one in close.sums)
    return held and counted and positive and lanes == sorted(set(lanes))


def _computed(
    report: Report,
    directory: Directory,
    terms: SettlementTerms,
    statement: Statement,
    lines: list[StatementLine],
    closes: list[PairClose],
) -> None:
    """Computes every line that follows from the closes, and compares the bytes."""
    carried = {(o.first_id, o.second_id): number(o.carried_micro) for o in _only(lines, "obligation")}
    prepaid = {p.partner_id: (number(p.opening), number(p.topped_up)) for p in _only(lines, "prepaid")}
    corrections = _only(lines, "correction")
    try:
        expected = arithmetic.computed_lines(
            directory, terms, statement.window, closes, corrections, carried, prepaid
        )
    except KeyError as unknown:
        report.check(False, f"its records name rates and kinds that the directory knows, not {unknown}")
        return
    first = sum(line.HasField("close") or line.HasField("missing") for line in lines) + len(corrections)
    stated = list(statement.lines)[first:]
    same = [line.SerializeToString() for line in expected] == stated
    report.check(same, f"its {len(expected)} fees, debts, nets and payments are what the closes give")
    report.nets = {net.party_id: number(net.payable) for net in _only(lines, "net")}
    report.check(sum(report.nets.values()) == 0, "the nets add up to zero")


def _continued(
    report: Report,
    directory: Directory,
    operator_keys: set[str],
    statement: Statement,
    lines: list[StatementLine],
    closes: list[PairClose],
    previous: bytes,
) -> None:
    """Compares with the statement before: its head, its rests and balances, and where its lanes ended."""
    signed = SignedStatement.FromString(previous)
    before = Statement.FromString(signed.statement)
    named = operator_signed(signed.head, operator_keys) and before.window == statement.window - 1
    named &= statement.previous_head_hash == hashlib.sha256(signed.head.head).digest()
    report.check(named, "it follows the statement before, and names it")
    old = [StatementLine.FromString(line) for line in before.lines]
    here = {*arithmetic.takes_part(directory, statement.window), arithmetic.OPERATOR}
    rests = {(o.first_id, o.second_id): o.residual_micro for o in _only(old, "obligation")}
    if before.currency != statement.currency:
        rests = {}
    left = {pair: number(rest) for pair, rest in rests.items() if here.issuperset(pair) and number(rest)}
    taken = {(o.first_id, o.second_id): number(o.carried_micro) for o in _only(lines, "obligation")}
    same = left == {pair: rest for pair, rest in taken.items() if rest}
    report.check(same, "what rounding had left over is carried on")
    closings = {line.partner_id: line.closing for line in _only(old, "prepaid")}
    kept = all(closings.get(p.partner_id, p.opening) == p.opening for p in _only(lines, "prepaid"))
    report.check(kept, "prepaid balances go on from where they stood")
    ends = {
        (close.home_id, close.acquirer_id, lane.lane): (lane.to_number + 1, lane.end_hash)
        for close in (PairClose.FromString(one.close) for one in _only(old, "close"))
        for lane in close.lanes
    }
    follows = all(
        ends.get((close.home_id, close.acquirer_id, lane.lane), (lane.from_number, lane.start_hash))
        == (lane.from_number, lane.start_hash)
        for close in closes
        for lane in close.lanes
    )
    report.check(follows, "every lane goes on with the record after the last that was settled")


def _only(lines: list[StatementLine], kind: str) -> list:  # type: ignore[type-arg]  # of whichever message `kind` is
    return [getattr(line, kind) for line in lines if line.HasField(kind)]  # type: ignore[arg-type]  # `kind` is the name of a field
