"""The operator's books: closes in, one statement out, payments marked; everything once, and after a restart
as before.
"""

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from bench.settlement_records import make_coalition, window_start
from node.actors.operator_books import OperatorBooks
from node.actors.operator_money import NotDone, Why
from node.coalition.directory import SettlementTerms
from node.settlement.documents import (
    CloseBasis,
    Correction,
    MissingClose,
    MissingReason,
    Net,
    Payment,
    PrepaidLine,
)
from node.settlement.windows import WindowState, pairs_of
from node.storage.memory import MemoryStore
from node.wire.coalition_trust import KnownDirectories
from node.wire.settlement_lines import ReadStatement
from node.wire.settlement_store import BalanceRecord, WindowRecord
from tests.settlement.settlement_world import World
from verifier.signatures import load_directory
from verifier.statement import verify

CUT = window_start(2)
GRACE_OVER = CUT + 86_400_000


class Operator:
    """The books of a coalition's operator; `again` opens them anew from what is on the disk."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = MemoryStore()
        self.books = self.again()

    def again(self) -> OperatorBooks:
        known = KnownDirectories([self.world.coalition.signed])
        self.books = OperatorBooks(
            self.store, lambda: known, lambda: self.world.coalition.operator, self.world.open
        )
        return self.books

    def collect(self, window: int, now_ms: int) -> None:
        for signed in self.world.all_closes(window):
            assert self.books.submit(signed, now_ms) is None

    def settled(self, window: int, now_ms: int) -> ReadStatement:
        closed = self.books.close_window(window, now_ms)
        assert isinstance(closed, WindowRecord)
        assert closed.state is WindowState.CLOSED
        done = self.books.settle(window, now_ms)
        assert isinstance(done, WindowRecord), done
        assert done.state is (WindowState.PENDING if done.payments else WindowState.SETTLED)
        statement = self.books.statement(window)
        assert statement is not None
        for one in self.books.closes(window):
            lanes = {lane.lane: lane for lane in self.books.starts(one.close.pair).lanes}
            self.world.starts[one.close.pair] = lanes
        return statement


def _trading(merchants: int = 3, prepaid: int = 0) -> Operator:
    operator = Operator(World(coalition=make_coalition(merchants, prepaid=prepaid)))
    _trade(operator.world, 1)
    return operator


def _trade(world: World, window: int) -> None:
    for number, pair in enumerate(pairs_of(world.coalition.directory, window)):
        world.trade(*pair, number % 3, window, 2 + number)


def _refusal(found: object) -> tuple[Why, str]:
    assert isinstance(found, NotDone), found
    return found.why, found.text


def test_a_window_goes_from_its_cut_to_the_last_payment_and_the_next_follows() -> None:
    operator = _trading()
    operator.collect(1, CUT)
    first = operator.settled(1, CUT)
    for payment in [line for line in first.lines if isinstance(line, Payment)]:
        record = operator.books.payments.confirm(
            f"bank {payment.reference}", 1, payment.reference, payment.amount, "B1", CUT
        )
        assert isinstance(record, WindowRecord)
    assert isinstance(record, WindowRecord)
    assert record.state is WindowState.SETTLED
    _trade(operator.world, 2)
    operator.collect(2, window_start(3))
    operator.settled(2, window_start(3))
    directory, raw, keys = load_directory(operator.world.coalition.signed.data)
    files = [operator.books.statement_bytes(window) or b"" for window in (1, 2)]
    report = verify(files[1], directory, raw, keys, files[0])
    assert [what for good, what in report.checks if not good] == []


def test_after_a_restart_at_any_moment_the_books_are_as_they_were() -> None:
    operator = _trading()
    for signed in operator.world.all_closes(1):
        assert operator.again().submit(signed, CUT) is None
    assert isinstance(operator.again().close_window(1, CUT), WindowRecord)
    assert isinstance(operator.again().settle(1, CUT), WindowRecord)
    published = operator.again().statement_bytes(1)
    assert isinstance(
        operator.again().settle(1, CUT + 5), WindowRecord
    )  # a later clock would sign other bytes
    assert operator.books.statement_bytes(1) == published


def test_closes_are_taken_from_the_cut_on_until_the_statement_and_once() -> None:
    operator = _trading()
    signed = operator.world.all_closes(1)[0]
    assert _refusal(operator.books.submit(signed, CUT - 1))[0] is Why.NOT_YET
    operator.collect(1, CUT)
    operator.collect(1, CUT)
    operator.settled(1, CUT)
    assert _refusal(operator.books.submit(signed, CUT))[0] is Why.CONFLICT


def test_a_pair_that_signed_two_closes_keeps_the_first() -> None:
    operator = _trading()
    pair = ("m000", "m001")
    assert operator.books.submit(operator.world.signed(operator.world.close(pair, 1)), CUT) is None
    shorter = operator.world.signed(operator.world.close(pair, 1, until={0: 1}))
    why, text = _refusal(operator.books.submit(shorter, CUT))
    assert (why, "The first one stands" in text) == (Why.CONFLICT, True)


def test_a_forged_or_strange_close_is_refused_in_words() -> None:
    operator = _trading()
    signed = operator.world.all_closes(1)[0]
    forged = replace(signed, signatures=(signed.signatures[0], signed.signatures[0]))
    why, text = _refusal(operator.books.submit(forged, CUT))
    assert why is Why.INVALID
    assert "must be signed by m000 and m001" in text
    foreign = replace(signed, close=replace(signed.close, acquirer_id="stranger"))
    assert _refusal(operator.books.submit(foreign, CUT))[0] is Why.INVALID
    unknown = replace(signed, close=replace(signed.close, window=99))
    assert _refusal(operator.books.submit(unknown, CUT))[0] is Why.UNKNOWN


def test_a_close_that_settles_records_twice_or_skips_some_is_refused() -> None:
    operator = _trading()
    operator.collect(1, CUT)
    operator.settled(1, CUT)
    operator.world.starts.clear()
    _trade(operator.world, 2)
    again = operator.world.signed(operator.world.close(("m000", "m001"), 2))
    why, text = _refusal(operator.books.submit(again, window_start(3)))
    assert (why, "does not go on where the last one ended" in text) == (Why.INVALID, True)


def test_a_partner_away_at_the_cut_is_waited_for_and_then_left_out_without_holding_up_the_rest() -> None:
    operator = _trading()
    for signed in operator.world.all_closes(1):
        if "m002" not in signed.close.pair:
            assert operator.books.submit(signed, CUT) is None
    operator.books.close_window(1, CUT)
    why, text = _refusal(operator.books.settle(1, CUT))
    assert (why, "time to sign is not over" in text) == (Why.NOT_YET, True)
    settled = operator.settled(1, GRACE_OVER)
    missing = [line for line in settled.lines if isinstance(line, MissingClose)]
    assert {(one.home_id, one.acquirer_id) for one in missing} == {
        pair for pair in pairs_of(operator.world.coalition.directory, 1) if "m002" in pair
    }
    record = operator.books.window(1)
    assert isinstance(record, WindowRecord)
    assert dict(record.silent) == {"m002": 1}
    # What was left out is in the next window's closes.
    _trade(operator.world, 2)
    operator.collect(2, window_start(3))
    operator.settled(2, window_start(3))


def test_a_window_in_which_nobody_has_to_pay_anything_is_settled_with_its_statement() -> None:
    operator = Operator(World(coalition=make_coalition(3)))
    operator.collect(1, CUT)
    operator.books.close_window(1, CUT)
    record = operator.books.settle(1, CUT)
    assert isinstance(record, WindowRecord)
    assert record.state is WindowState.SETTLED
    again = operator.again().settle(1, CUT)
    assert again == record


def test_a_pair_whose_close_was_not_taken_is_left_out_with_the_reason() -> None:
    operator = _trading()
    operator.collect(1, CUT)
    operator.settled(1, CUT)
    operator.world.starts.clear()
    again = operator.world.signed(operator.world.close(("m000", "m001"), 2))
    assert operator.books.submit(again, window_start(3)) is not None
    unproved = operator.world.close(("m001", "m002"), 2, basis=CloseBasis.ACQUIRER_ALONE)
    assert operator.books.submit(operator.world.signed(unproved), window_start(3)) is not None
    operator.again()
    settled = operator.settled(2, window_start(3) + 86_400_000)
    reasons = {
        (one.home_id, one.acquirer_id): one.reason for one in settled.lines if isinstance(one, MissingClose)
    }
    assert reasons["m000", "m001"] is MissingReason.NOT_CONTINUOUS
    assert reasons["m001", "m002"] is MissingReason.NO_EVIDENCE
    assert reasons["m002", "m001"] is MissingReason.NOBODY_SENT


def test_the_operator_may_settle_before_the_time_to_sign_is_over_if_it_says_so() -> None:
    operator = _trading()
    operator.books.close_window(1, CUT)
    assert isinstance(operator.books.settle(1, CUT, without_missing=True), WindowRecord)


def test_a_silent_partners_records_are_settled_by_what_it_had_signed() -> None:
    operator = Operator(World(2))
    operator.world.trade("m000", "m001", 3, 1, 6)
    close = operator.world.close(("m000", "m001"), 1, basis=CloseBasis.ACQUIRER_ALONE)
    alone = replace(operator.world.signed(close), evidence=operator.world.evidence(close, 1))
    assert _refusal(operator.books.submit(alone, CUT))[0] is Why.NOT_YET
    assert operator.books.submit(alone, GRACE_OVER) is None
    both = operator.world.signed(operator.world.close(("m000", "m001"), 1))
    assert operator.books.submit(both, GRACE_OVER) is None  # in time after all: both signatures are better
    assert operator.books.submit(alone, GRACE_OVER) is None  # and stay
    assert [one.close.basis for one in operator.books.closes(1)] == [CloseBasis.AGREED]


def test_windows_are_closed_and_settled_in_their_order() -> None:
    operator = _trading()
    late = window_start(3)
    assert _refusal(operator.books.close_window(2, late))[0] is Why.NOT_YET
    operator.books.close_window(1, late)
    operator.books.close_window(2, late)
    assert (
        "earlier window has no statement" in _refusal(operator.books.settle(2, late, without_missing=True))[1]
    )
    assert _refusal(operator.books.settle(3, late))[0] is Why.NOT_YET


def test_a_correction_and_top_ups_enter_the_next_statement_once_whatever_is_repeated() -> None:
    operator = _trading(prepaid=1)
    operator.collect(1, CUT)
    correction = Correction(1, "m001", "m002", 5_000_000, "agreed by phone")
    for _ in range(2):
        assert operator.books.money.correct("c1", correction) is None
        assert isinstance(operator.books.money.top_up("t1", "m000", 10_000_000), BalanceRecord)
    assert _refusal(operator.books.money.top_up("t1", "m000", 7))[0] is Why.CONFLICT
    assert _refusal(operator.books.money.top_up("t2", "m001", 7))[0] is Why.INVALID
    statement = operator.settled(1, CUT)
    assert [line for line in statement.lines if isinstance(line, Correction)] == [correction]
    [line] = [line for line in statement.lines if isinstance(line, PrepaidLine)]
    assert (line.opening, line.topped_up) == (0, 10_000_000)
    assert operator.again().money.balance("m000").balance.left == line.closing
    assert list(operator.books.money.corrections()) == []


@pytest.mark.parametrize(("reference", "change"), [("no-such", 0), (None, 1), (None, -1)])
def test_only_a_payment_of_the_statement_in_full_is_marked(reference: str | None, change: int) -> None:
    operator = _trading()
    operator.collect(1, CUT)
    statement = operator.settled(1, CUT)
    payment = next(line for line in statement.lines if isinstance(line, Payment))
    found = operator.books.payments.confirm(
        "r", 1, reference or payment.reference, payment.amount + change, "B", CUT
    )
    assert _refusal(found)[0] is Why.INVALID
    assert operator.books.money.paid(1) == set()


def test_a_prepaid_balance_that_comes_down_to_a_threshold_is_told_once() -> None:
    terms = SettlementTerms(1, "IRR", 0, close_grace_seconds=86_400, prepaid_alert_percents=(90, 50))
    operator = Operator(World(coalition=make_coalition(3, prepaid=1, terms=terms)))
    _trade(operator.world, 1)
    operator.collect(1, CUT)
    used = -next(one.payable for one in _dry(operator) if one.party_id == "m000")
    assert used > 0
    operator.books.money.top_up("t1", "m000", used * 2)
    with capture_logs() as logs:
        operator.settled(1, CUT)
    told = [line for line in logs if line["event"] == "prepaid_balance_low"]
    assert [(line["partner"], line["percent"]) for line in told] == [("m000", 90), ("m000", 50)]
    _trade(operator.world, 2)
    operator.collect(2, window_start(3))
    with capture_logs() as logs:
        operator.settled(2, window_start(3))
    assert not [line for line in logs if line.get("percent") == 90]


def _dry(operator: Operator) -> list[Net]:
    """The nets that the window's closes come to, computed beside the books."""
    other = Operator(operator.world)
    other.collect(1, CUT)
    other.books.close_window(1, CUT)
    other.books.settle(1, CUT)
    statement = other.books.statement(1)
    assert statement is not None
    return [line for line in statement.lines if isinstance(line, Net)]
