"""One member at one till, for tests that tell a short story."""

from __future__ import annotations

from msgspec.structs import replace

from node.ledger import earning, spending, undo
from node.ledger.account import Account, Purse
from node.ledger.awards import Award
from node.ledger.decision import Accepted, Context, Decision
from node.ledger.events import Returned
from node.ledger.lots import NEVER_MS
from node.ledger.purchase import Line, Purchase
from node.ledger.purses import PurseDefinition, PurseKind, SpentReturnPolicy
from node.ledger.refusals import Reason, Refused
from node.ledger.returns import LineBack
from node.ledger.spending import Place, SpendRequest
from node.ledger.transactions import Amendment, Entry
from tests.ledger.ledger_world import DAY_MS, START_MS, World, check_account

MEMBER = b"member"
PLACE = Place("s1", "store")
POINTS = PurseDefinition("points", PurseKind.POINTS, transferable=True)
CASH = PurseDefinition("cash", PurseKind.STORED_VALUE)
NEGATIVE, CLIP, RECOVER = (replace(POINTS, spent_return_policy=policy) for policy in SpentReturnPolicy)


def day(number: int) -> int:
    """The instant that lies so many days after the story began."""
    return START_MS + number * DAY_MS


def line(number: int, net: int, quantity_milli: int = 1000) -> Line:
    """A line of a receipt."""
    return Line(number, f"sku-{number}", ("FOOD",), quantity_milli, net)


def purchase(total: int = 100, *lines: Line) -> Purchase:
    """A purchase of `total`, or of the lines."""
    return Purchase("s1", "r1", sum(one.net_minor for one in lines) if lines else total, "IRR", lines=lines)


def award(units: int, expires: int | None = None, purse: str = "points", **more: object) -> Award:
    """An award that expires so many days after the story began, None: never."""
    return Award("rule", purse, units, expires_ms=NEVER_MS if expires is None else day(expires), **more)  # type: ignore[arg-type]  # fields of an award


BASKET = purchase()


class Shop:
    """A member's account and its journal. Every story ends with books that sum to zero."""

    def __init__(self, *purses: PurseDefinition) -> None:
        self.world = World(
            {definition.code: definition for definition in purses or (POINTS, CASH)}, (MEMBER,)
        )

    @property
    def account(self) -> Account:
        return self.world.accounts[MEMBER]

    def purse(self, code: str = "points") -> Purse:
        return self.account.purse(code)

    @property
    def context(self) -> Context:
        return self.world.context("ann")

    def on_day(self, number: int) -> None:
        """Lets time pass, and does what is due."""
        self.world.now_ms = day(number)
        self.world.settle(MEMBER)

    def do(self, decision: Decision) -> Entry:
        """Posts what must be accepted."""
        assert isinstance(decision, Accepted), decision
        entry = self.world.post(MEMBER, decision)
        check_account(self.account, self.world.purses)
        assert set(self.world.books.sums().values()) <= {0}
        return entry

    def earn(self, *awards: Award, purchase: Purchase = BASKET) -> Entry:
        return self.do(earning.accrue(self.account, purchase, awards))

    def redeem(self, **units: int) -> Entry:
        return self.do(spending.redeem(self.account, spends(units), PLACE, "r2", self.context))

    def authorize(self, seconds: int = 900, **units: int) -> int:
        decision = spending.authorize(self.account, spends(units), PLACE, seconds, self.context)
        return self.do(decision).sequence

    def capture(self, hold: int, **units: int) -> Entry:
        return self.do(spending.capture(self.account, hold, spends(units), "r3", self.context))

    def amended(self, entry: Entry) -> Amendment:
        return self.world.amendment(entry.sequence)

    def returning(self, entry: Entry, *lines: int | LineBack, minor: int = 0) -> Decision:
        """The decision on a return; a bare number is a whole line."""
        back = [one if isinstance(one, LineBack) else LineBack(one, 0) for one in lines]
        return undo.return_goods(self.account, entry, self.amended(entry), back, minor, self.context)

    def give_back(self, entry: Entry, *lines: int | LineBack, minor: int = 0) -> Entry:
        return self.do(self.returning(entry, *lines, minor=minor))

    def reversing(self, entry: Entry) -> Decision:
        first = entry.events[0]
        returned = self.world.amendment(first.original) if isinstance(first, Returned) else None
        return undo.reverse(self.account, entry, self.amended(entry), self.context, returned)

    def reverse(self, entry: Entry) -> Entry:
        return self.do(self.reversing(entry))


def spends(units: dict[str, int]) -> list[SpendRequest]:
    """Spends by purse."""
    return [SpendRequest(purse, amount) for purse, amount in units.items()]


def reason(decision: object) -> Reason:
    """Why a decision was refused, which it must be."""
    assert isinstance(decision, Refused), decision
    assert decision.message
    return decision.reason
