"""What an account should do, written naively: of `node.ledger` it uses only plain data."""

from __future__ import annotations

from collections import Counter, defaultdict

from node.ledger.awards import Award
from node.ledger.purchase import Purchase
from node.ledger.purses import PurseDefinition, SpentReturnPolicy
from node.ledger.refusals import Reason
from node.ledger.returns import LineBack
from tests.ledger.ledger_tokens import Authorized, Back, Deed, Picked, Sale, Spend, Wallet, revived


class Model:
    """One account. Each command returns None where it takes effect, else the reason for its refusal."""

    def __init__(self, purses: dict[str, PurseDefinition]) -> None:
        self.definitions = purses
        self.wallets: defaultdict[str, Wallet] = defaultdict(Wallet)
        self.holds: dict[int, tuple[int, dict[str, Picked]]] = {}
        self.counters: Counter[tuple[str, int]] = Counter()
        self.deeds: dict[int, Deed] = {}
        self.blocked = self.closed = False

    def may_owe(self, purse: str) -> bool:
        return self.definitions[purse].spent_return_policy is SpentReturnPolicy.NEGATIVE

    def room(self, purse: str) -> int:
        return max(0, self.wallets[purse].spendable + self.definitions[purse].credit_limit)

    def held(self, purse: str) -> int:
        return sum(len(parts.get(purse, [])) for _, parts in self.holds.values())

    def owned(self, purse: str) -> int:
        wallet = self.wallets[purse]
        return wallet.spendable + len(wallet.pending) + self.held(purse)

    def settle(self, now_ms: int) -> None:
        for hold in [hold for hold, (until_ms, _) in self.holds.items() if until_ms <= now_ms]:
            self.let_go(hold, now_ms)
        for wallet in self.wallets.values():
            ripe = [token for token in wallet.pending if token[1] <= now_ms]
            wallet.pending = [token for token in wallet.pending if token[1] > now_ms]
            wallet.put(ripe, now_ms)
            wallet.lots = [token for token in wallet.lots if token[0] > now_ms]

    def let_go(self, hold: int, now_ms: int) -> None:
        for purse, picked in self.holds.pop(hold)[1].items():
            self.wallets[purse].give_back(picked, now_ms)

    def earn(
        self, number: int, purchase: Purchase | None, awards: tuple[Award, ...], now_ms: int
    ) -> Reason | None:
        if self.closed:
            return Reason.ACCOUNT_CLOSED
        for award in awards:
            self.wallets[award.purse].put([award.lot().terms()] * award.units, now_ms)
            if award.counter:
                self.counters[award.counter, award.day] += award.units
                for name, day in list(self.counters):
                    if day < award.day - 60:
                        del self.counters[name, day]
        self.deeds[number] = Sale(purchase or Purchase("", "", 0, ""), awards, units=[0] * len(awards))
        return None

    def pick(self, spends: list[tuple[str, int]]) -> dict[str, Picked] | Reason:
        if self.closed or self.blocked:
            return Reason.ACCOUNT_CLOSED if self.closed else Reason.ACCOUNT_BLOCKED
        wanted: Counter[str] = Counter()
        for purse, units in spends:
            wanted[purse] += units
        if any(units > self.room(purse) for purse, units in wanted.items()):
            return Reason.INSUFFICIENT_BALANCE
        return {purse: self.wallets[purse].pick(units) for purse, units in wanted.items()}

    def redeem(self, number: int, spends: list[tuple[str, int]]) -> Reason | None:
        picked = self.pick(spends)
        if isinstance(picked, Reason):
            return picked
        self.deeds[number] = Spend(picked)
        return None

    def authorize(self, number: int, spends: list[tuple[str, int]], until_ms: int) -> Reason | None:
        picked = self.pick(spends)
        if isinstance(picked, Reason):
            return picked
        self.holds[number] = (until_ms, picked)
        self.deeds[number] = Authorized(number)
        return None

    def capture(self, number: int, hold: int, spends: list[tuple[str, int]], now_ms: int) -> Reason | None:
        if self.closed:
            return Reason.ACCOUNT_CLOSED
        if hold not in self.holds:
            return Reason.AUTHORIZATION_NOT_OPEN
        wanted: Counter[str] = Counter()
        for purse, units in spends:
            wanted[purse] += units
        parts = self.holds[hold][1]
        if not spends:
            wanted.update({purse: len(picked) for purse, picked in parts.items()})
        if any(units > len(parts.get(purse, [])) for purse, units in wanted.items()):
            return Reason.CAPTURE_EXCEEDS_AUTHORIZATION
        del self.holds[hold]
        for purse, picked in parts.items():
            self.wallets[purse].give_back(picked[wanted[purse] :], now_ms)
        self.deeds[number] = Spend({purse: parts[purse][:units] for purse, units in wanted.items()})
        return None

    def void(self, hold: int, now_ms: int) -> Reason | None:
        if hold not in self.holds:
            return Reason.AUTHORIZATION_NOT_OPEN
        self.let_go(hold, now_ms)
        return None

    def take_back(self, award: Award, units: int, now_ms: int) -> tuple[str, Picked]:
        """Takes earned units back, wherever they are; the units that were really taken."""
        wallet, terms = self.wallets[award.purse], award.lot().terms()
        taken: Picked = []
        if award.expires_ms <= now_ms:
            return award.purse, taken
        for _ in range(units):
            if terms in wallet.pending:
                wallet.pending.remove(terms)
                taken.append(terms)
            elif terms in wallet.lots:
                wallet.lots.remove(terms)
                taken.append(terms)
        missing = units - len(taken)
        if not self.may_owe(award.purse):
            missing = min(missing, len(wallet.lots))
        return award.purse, taken + wallet.pick(missing)

    def bring_back(
        self, number: int, of: int, lines: list[LineBack], minor: int, now_ms: int
    ) -> Reason | None:
        """A return."""
        deed = self.deeds.get(of)
        if isinstance(deed, Sale | Spend) and deed.reversed:
            return Reason.ALREADY_REVERSED
        if self.closed:
            return Reason.ACCOUNT_CLOSED
        if isinstance(deed, Sale) and deed.purchase.currency:
            return self.bring_sale_back(number, deed, lines, minor, now_ms)
        if isinstance(deed, Spend):
            return self.bring_spend_back(number, deed, lines, minor, now_ms)
        return Reason.WRONG_TRANSACTION_KIND

    def bring_sale_back(
        self, number: int, sale: Sale, lines: list[LineBack], minor: int, now_ms: int
    ) -> Reason | None:
        purchase = sale.purchase
        if minor if purchase.lines else lines:
            return Reason.INVALID_ARGUMENT
        before, minor_before = dict(sale.back), sale.minor
        after = Sale(purchase, sale.awards, dict(sale.back), sale.minor)
        if purchase.lines:
            out = [line.number for line in purchase.lines if before.get(line.number) != line.quantity_milli]
            for back in lines or [LineBack(line_number, 0) for line_number in out]:
                line = purchase.line(back.number)
                if line is None:
                    return Reason.INVALID_ARGUMENT
                left = line.quantity_milli - after.back.get(back.number, 0)
                if after.back.get(back.number) == line.quantity_milli or back.quantity_milli > left:
                    return Reason.RETURN_EXCEEDS_PURCHASE
                after.back[back.number] = after.back.get(back.number, 0) + (back.quantity_milli or left)
            if not lines and not out:
                return Reason.RETURN_EXCEEDS_PURCHASE
            after.minor = max(sale.minor, after.money_back())
        else:
            after.minor += minor or purchase.total_minor - sale.minor
            if not sale.minor < after.minor <= purchase.total_minor:
                return Reason.RETURN_EXCEEDS_PURCHASE
        deed = Back(sale, minor=after.minor - minor_before)
        deed.lines = {n: q - before.get(n, 0) for n, q in after.back.items() if before.get(n) != q}
        deed.units = [
            max(0, after.should_be_back(a) - u) for a, u in zip(sale.awards, sale.units, strict=True)
        ]
        deed.moved = [self.take_back(a, u, now_ms) for a, u in zip(sale.awards, deed.units, strict=True)]
        sale.back, sale.minor = after.back, after.minor
        sale.units = [old + new for old, new in zip(sale.units, deed.units, strict=True)]
        self.deeds[number] = deed
        return None

    def bring_spend_back(
        self, number: int, spend: Spend, lines: list[LineBack], minor: int, now_ms: int
    ) -> Reason | None:
        left = spend.units - spend.back
        units = minor or left
        if lines:
            return Reason.INVALID_ARGUMENT
        if not 0 < units <= left:
            return Reason.RETURN_EXCEEDS_PURCHASE
        if len(spend.parts) > 1 and units != spend.units:
            return Reason.INVALID_ARGUMENT
        deed = Back(spend, minor=units)
        for purse, picked in spend.parts.items():
            end = len(picked) - spend.back
            back = picked if len(spend.parts) > 1 else picked[end - units : end]
            self.wallets[purse].give_back(back, now_ms)
            known = [token for token in back if token]
            deed.moved.append((purse, [*revived(known, now_ms), *[None] * back.count(None)]))
        spend.back += units
        self.deeds[number] = deed
        return None

    def reverse(self, number: int, now_ms: int) -> Reason | None:
        deed = self.deeds.get(number)
        if deed is not None and deed.reversed:
            return Reason.ALREADY_REVERSED
        if self.closed:
            return Reason.ACCOUNT_CLOSED
        if isinstance(deed, Back) and deed.of.reversed:
            return Reason.ALREADY_REVERSED
        refused: Reason | None = None
        if isinstance(deed, Sale):
            for award, units in zip(deed.awards, deed.units, strict=True):
                self.take_back(award, award.units - units, now_ms)
                counted = (award.counter, award.day)
                if counted in self.counters:  # else it was forgotten long ago
                    self.counters[counted] -= award.units
        elif isinstance(deed, Spend):
            for purse, picked in deed.parts.items():
                left = [] if len(deed.parts) > 1 and deed.back else picked[: len(picked) - deed.back]
                self.wallets[purse].give_back(left, now_ms)
        elif isinstance(deed, Authorized):
            refused = self.void(deed.hold, now_ms)
        elif isinstance(deed, Back):
            refused = self.undo_return(deed, now_ms)
        else:
            refused = Reason.WRONG_TRANSACTION_KIND
        if deed is not None and refused is None:
            deed.reversed = True
        return refused

    def undo_return(self, deed: Back, now_ms: int) -> Reason | None:
        if isinstance(deed.of, Spend):
            wanted = [(p, [t for t in moved if t is None or t[0] > now_ms]) for p, moved in deed.moved]
            if any(len(tokens) > self.room(p) and not self.may_owe(p) for p, tokens in wanted):
                return Reason.INSUFFICIENT_BALANCE
            for purse, tokens in wanted:
                lots, missing = self.wallets[purse].lots, 0
                for token in tokens:
                    if token in lots:
                        lots.remove(token)
                    else:
                        missing += 1
                self.wallets[purse].pick(missing)
            deed.of.back -= deed.minor
            return None
        for purse, moved in deed.moved:
            self.wallets[purse].give_back(moved, now_ms)
        for number, quantity in deed.lines.items():
            deed.of.back[number] -= quantity
            if not deed.of.back[number]:
                del deed.of.back[number]
        deed.of.minor -= deed.minor
        deed.of.units = [old - new for old, new in zip(deed.of.units, deed.units, strict=True)]
        return None
