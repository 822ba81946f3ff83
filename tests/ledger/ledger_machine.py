"""The rules of the account machine by which tills earn, spend and undo, each beside the naive model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from node.ledger import earning, spending, undo
from node.ledger.account import Account
from node.ledger.awards import Award
from node.ledger.decision import Decision
from node.ledger.events import Returned
from node.ledger.lots import NEVER_MS, Lots
from node.ledger.purchase import Activity, Line, Purchase
from node.ledger.purses import PurseDefinition, PurseKind, SpentReturnPolicy
from node.ledger.refusals import Reason, Refused
from node.ledger.returns import LineBack
from node.ledger.spending import Place, SpendRequest
from node.ledger.transactions import Entry, TransactionKind
from tests.ledger.ledger_model import Model
from tests.ledger.ledger_world import DAY_MS, World

MEMBER, OTHER, NOBODY = b"member", b"other", b""
PURSES = ("points", "cash", "stamps")
Grant = tuple[str, int, int, int, str, str, bool, bool, list[int]]
PLACE = Place("s1", "store")
SPENDING = (TransactionKind.REDEMPTION, TransactionKind.CAPTURE)
UNDOABLE = (
    TransactionKind.ACCRUAL, TransactionKind.ACTIVITY, TransactionKind.AUTHORIZATION, *SPENDING,
    TransactionKind.RETURN,
)  # fmt: skip

codes = st.sampled_from(PURSES)
picks = st.integers(0, 30)
who = st.sampled_from([MEMBER, MEMBER, MEMBER, OTHER])
buyers = st.sampled_from([MEMBER, MEMBER, MEMBER, MEMBER, OTHER, NOBODY])
spend_lists = st.lists(  # of purses, and of how much of what is there, in hundredths
    st.tuples(codes, st.sampled_from([1, 10, 30, 50, 100, 110])), min_size=1, max_size=3
)
grants = st.tuples(
    codes,
    st.integers(0, 30),
    st.sampled_from([1, 1, 3, 9, 0]),  # days to expiry, 0: never
    st.sampled_from([0, 0, 1, 2]),  # days pending
    st.sampled_from(["", "acme"]),
    st.sampled_from(["", "spring"]),
    st.booleans(),  # counted towards a cap
    st.booleans(),  # spread over the lines
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
line_lists = st.lists(st.tuples(st.sampled_from([0, 1000, 1500, 3000]), st.integers(-30, 100)), max_size=4)


def units_of(spends: list[tuple[str, int]], there: Callable[[str], int]) -> list[tuple[str, int]]:
    """Spends in hundredths of what is there as spends in units; only those beyond it ask where nothing is."""
    units = [(code, -(-there(code) * part // 100) or part // 101) for code, part in spends]
    return [(code, wanted) for code, wanted in units if wanted] or [(spends[0][0], 1)]


class TillMachine(RuleBasedStateMachine):
    """Two accounts in one journal, each beside its model."""

    @initialize(
        policies=st.tuples(*[st.sampled_from(SpentReturnPolicy)] * 3), limit=st.sampled_from([0, 0, 15])
    )
    def open(self, policies: tuple[SpentReturnPolicy, ...], limit: int) -> None:
        limits = {"cash": limit}
        definitions = {
            code: PurseDefinition(
                code,
                kind,
                transferable=code != "stamps",
                credit_limit=limits.get(code, 0),
                spent_return_policy=policy,
            )
            for code, kind, policy in zip(PURSES, PurseKind, policies, strict=True)
        }
        self.world = World(definitions, (MEMBER, OTHER))
        for account_id in (MEMBER, OTHER):
            self.record_activity(account_id, [(code, 40, 9, 0, "", "", False, False, []) for code in PURSES])
        self.transfers: list[tuple[str, bytes, str, Lots]] = []
        self.proposed: dict[int, tuple[bytes, str, int]] = {}

    def touch(self, account_id: bytes) -> tuple[Account, Model]:
        if account_id == NOBODY:
            return Account(NOBODY), self.world.models[NOBODY]
        self.world.settle(account_id)
        return self.world.accounts[account_id], self.world.models[account_id]

    def done(self, account_id: bytes, decision: Decision, expected: Reason | None) -> Entry | None:
        """Posts a decision that should be accepted; None where it should be refused, and is."""
        if isinstance(decision, Refused):
            assert decision.reason is expected, f"refused: {decision}, expected {expected}"
            note(f"  refused: {decision.reason.name}")
            return None
        assert expected is None, f"accepted, though {expected!r} was expected"
        return self.world.post(account_id, decision)

    def awards(self, drawn: Sequence[Grant], lines: Sequence[Line]) -> tuple[Award, ...]:
        awards = []
        for code, units, expires, pending, funder, campaign, counted, spread, weights in drawn:
            shares: tuple[tuple[int, int], ...] = ()
            if spread and lines:
                shares = tuple((line.number, w) for line, w in zip(lines, weights, strict=False))
                units = sum(share for _, share in shares)
            award = Award(
                "rule", code, units, self.world.now_ms + pending * DAY_MS if pending else 0,
                self.world.now_ms + expires * DAY_MS if expires else NEVER_MS, funder, campaign, shares,
                "cap" if counted else "", self.world.now_ms // DAY_MS,
            )  # fmt: skip
            awards.append(award)
        return tuple(awards)

    @rule(
        account_id=buyers,
        drawn_lines=line_lists,
        total=st.integers(0, 100),
        drawn=st.lists(grants, max_size=3),
    )
    def accrue(
        self,
        account_id: bytes,
        drawn_lines: list[tuple[int, int]],
        total: int,
        drawn: list[Grant],
    ) -> None:
        lines = tuple(Line(n, "sku", (), quantity, net) for n, (quantity, net) in enumerate(drawn_lines, 1))
        net = sum(line.net_minor for line in lines)
        if net < 0:
            lines = tuple(Line(line.number, "sku", (), line.quantity_milli, 7) for line in lines)
            net = 7 * len(lines)
        purchase = Purchase("s1", "r", net if lines else total, "IRR", lines=lines)
        assert earning.purchase_problem(purchase, "IRR") is None
        account, model = self.touch(account_id)
        awards = self.awards(drawn, lines) if account_id else ()
        expected = model.earn(self.world.next_sequence, purchase, awards, self.world.now_ms)
        decision = earning.accrue(account, purchase, awards) if account_id else earning.sell(purchase)
        self.done(account_id, decision, expected)

    @rule(account_id=who, drawn=st.lists(grants, max_size=2))
    def record_activity(self, account_id: bytes, drawn: list[Grant]) -> None:
        account, model = self.touch(account_id)
        awards = self.awards(drawn, ())
        expected = model.earn(self.world.next_sequence, None, awards, self.world.now_ms)
        self.done(account_id, earning.record_activity(account, Activity("survey"), awards), expected)

    @rule(account_id=who, spends=spend_lists)
    def redeem(self, account_id: bytes, spends: list[tuple[str, int]]) -> None:
        account, model = self.touch(account_id)
        spends = units_of(spends, model.room)
        expected = model.redeem(self.world.next_sequence, spends)
        wanted = [SpendRequest(*spend) for spend in spends]
        self.done(account_id, spending.redeem(account, wanted, PLACE, "r", self.world.context()), expected)

    @rule(account_id=who, spends=spend_lists, days=st.sampled_from([1, 5]))
    def authorize(self, account_id: bytes, spends: list[tuple[str, int]], days: int) -> None:
        account, model = self.touch(account_id)
        until_ms = self.world.now_ms + days * DAY_MS
        spends = units_of(spends, model.room)
        expected = model.authorize(self.world.next_sequence, spends, until_ms)
        wanted = [SpendRequest(*spend) for spend in spends]
        decision = spending.authorize(account, wanted, PLACE, days * 86_400, self.world.context())
        self.done(account_id, decision, expected)

    @rule(account_id=who, pick=picks, void=st.booleans(), spends=st.one_of(st.just([]), spend_lists))
    def capture_or_void(
        self, account_id: bytes, pick: int, void: bool, spends: list[tuple[str, int]]
    ) -> None:
        account, model = self.touch(account_id)
        ids = [hold.hold_id for hold in account.holds]
        hold = ids[pick % len(ids)] if ids else pick
        if void:
            expected = model.void(hold, self.world.now_ms)
            self.done(account_id, spending.void(account, hold, self.world.context()), expected)
            return
        spends = units_of(spends, model.held) if spends else []
        expected = model.capture(self.world.next_sequence, hold, spends, self.world.now_ms)
        wanted = [SpendRequest(*spend) for spend in spends]
        self.done(account_id, spending.capture(account, hold, wanted, "r", self.world.context()), expected)

    def an_entry(self, account_id: bytes, kinds: set[TransactionKind], pick: int) -> Entry | None:
        own = [e for e in self.world.entries if e.account_id == account_id and e.kind in kinds]
        return own[-1 - pick % len(own)] if own else None

    @rule(
        account_id=buyers,
        pick=picks,
        spend=st.booleans(),
        how=st.sampled_from(["all", "lines", "lines", "amount"]),
        lines=st.lists(
            st.tuples(st.integers(1, 5), st.sampled_from([0, 0, 500, 1000])), min_size=1, max_size=3
        ),
        minor=st.integers(1, 30),
    )
    def return_goods(
        self, account_id: bytes, pick: int, spend: bool, how: str, lines: list[tuple[int, int]], minor: int
    ) -> None:
        account, model = self.touch(account_id)
        original = self.an_entry(account_id, set(SPENDING if spend else [TransactionKind.ACCRUAL]), pick)
        if original is None:
            return
        back = [LineBack(*line) for line in lines] if how == "lines" else []
        minor = minor if how == "amount" else 0
        amended = self.world.amendment(original.sequence)
        asked = account if account_id else None
        decision = undo.return_goods(asked, original, amended, back, minor, self.world.context())
        expected = model.bring_back(
            self.world.next_sequence, original.sequence, back, minor, self.world.now_ms
        )
        self.done(account_id, decision, expected)

    @rule(account_id=buyers, pick=picks, kind=st.sampled_from([*UNDOABLE, None]))
    def reverse(self, account_id: bytes, pick: int, kind: TransactionKind | None) -> None:
        account, model = self.touch(account_id)
        original = self.an_entry(account_id, {kind} if kind else set(TransactionKind), pick)
        if original is None:
            return
        returned = None
        if isinstance(original.events[0], Returned):
            returned = self.world.amendment(original.events[0].original)
        amended = self.world.amendment(original.sequence)
        asked = account if account_id else None
        decision = undo.reverse(asked, original, amended, self.world.context(), returned)
        expected = model.reverse(original.sequence, self.world.now_ms)
        self.done(account_id, decision, expected)
