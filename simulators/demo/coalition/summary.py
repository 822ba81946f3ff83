"""What a run of the coalition's demo comes to: for a machine as JSON; `showing` says it to a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from node.proto.vafa.admin.v1 import admin_service_pb2
from simulators.demo.coalition.chains import EARNED, SPENT
from simulators.demo.coalition.day import CoalitionDay, Seen
from simulators.demo.coalition.merchants import PURSE
from simulators.demo.coalition.settling import Settlement
from simulators.demo.figures import Figures
from simulators.demo.proof import CLEAN
from simulators.demo.receipt import Shopfront

NOT_RUN = "it was not run"
PROOF_REFUSED = "PROOF_REFUSED"


@dataclass(slots=True)
class MerchantBooks:
    """One merchant's own books. `check` is "clean" or what `vafa check` found."""

    name: str
    totals: Sequence[admin_service_pb2.PurseTotals]
    check: str = NOT_RUN

    @property
    def books_sum(self) -> int:
        """0 where the books of every purse sum to zero, else by how much they miss it in all."""
        return sum(abs(purse.books_sum) for purse in self.totals)

    def of(self, purse: str) -> admin_service_pb2.PurseTotals:
        """The totals of a purse; all zero where nothing was ever in it."""
        return next((one for one in self.totals if one.purse == purse), admin_service_pb2.PurseTotals())


@dataclass(slots=True)
class CoalitionSummary:
    """All that is told at the end."""

    day: CoalitionDay
    members: int
    books: Mapping[str, MerchantBooks]
    fronts: Mapping[str, Shopfront]
    screens: Sequence[tuple[Seen, Sequence[str]]]
    seconds: float = 0.0
    settlement: Settlement = field(default_factory=Settlement)

    @property
    def books_sum(self) -> int:
        """By how much the books of all merchants miss zero."""
        return sum(books.books_sum for books in self.books.values())

    @property
    def check(self) -> str:
        """CLEAN where every merchant's check is, else what was found, and where."""
        found = [f"{one}: {books.check}" for one, books in self.books.items() if books.check != CLEAN]
        return "; ".join(found) or CLEAN

    @property
    def chains_equal(self) -> bool:
        """Whether both sides of every pair hold the same records, and every signature in them holds."""
        return bool(self.day.pairs) and all(pair.equal for pair in self.day.pairs)

    @property
    def told_right(self) -> bool:
        """Whether tills were told to earn later and not to spend while the member's home was gone."""
        return bool(self.day.told) and all(told.right for told in self.day.told)

    @property
    def good(self) -> bool:
        """Whether everything is as it has to be."""
        whole = self.books_sum == 0 and self.check == CLEAN and self.chains_equal
        return whole and self.told_right and self.settled

    @property
    def settled(self) -> bool:
        """Whether the window is settled: nets that sum to zero, and everybody who checks it agrees."""
        found = self.settlement
        sound = found.verified and found.change_found and found.nets_sum == 0 and not found.problem
        sound = sound and bool(found.mismatch.kind) and found.mismatch.settled_next
        return sound and len(found.agreed) == len(self.books)

    @property
    def figures(self) -> Figures:
        """All tills' figures together, calls about other merchants' members apart from those at home."""
        return merged(self.day.figures)

    @property
    def accruals_per_second(self) -> float:
        """Purchases recorded one by one while every node served, over the seconds that it took."""
        day = self.day
        return day.accruals_measured / day.seconds_measured if day.seconds_measured else 0.0

    @property
    def cards(self) -> dict[str, int]:
        """What chip cards did: how many are carried, put on a reader, proved a spend, and were refused."""
        counts, refusals = self.figures.counts, self.figures.refusals
        abroad = counts_of(each for (a, b), each in self.day.figures.items() if a != b)
        return {
            "carried": self.day.cards_carried,
            "taps": counts["card_taps"],
            "spends_proved": counts["card_proofs"],
            "spends_proved_abroad": abroad["card_proofs"],
            "refused": refusals[PROOF_REFUSED],
        }

    def points(self) -> dict[str, int]:
        """The coalition's points over all merchants: what members were given, at home or abroad, what they
        spent, what lapsed, and what they hold."""
        own = [books.of(PURSE) for books in self.books.values()]
        pairs = self.day.pairs
        return {
            "issued": sum(one.issued for one in own) + sum(pair.units[EARNED] for pair in pairs),
            "redeemed": sum(one.redeemed for one in own) + sum(pair.units[SPENT] for pair in pairs),
            "breakage": sum(one.breakage for one in own),
            "outstanding": sum(one.outstanding for one in own),
            "books_sum": self.books_sum,
        }

    def as_json(self) -> dict[str, Any]:
        """The figures for a machine. Amounts are minor units; times are said in the names."""
        figures, day = self.figures, self.day
        counts = figures.counts
        return {
            "source": "a coalition of generated shoppers",
            "members": self.members,
            "tills": day.tills,
            "accruals": counts["accruals"],
            "accruals_per_second": round(self.accruals_per_second, 1),
            "offline_accruals": counts["offline_accruals"],
            "redemptions": counts["redemptions"],
            "voids": counts["voids"],
            "returns": counts["returns"],
            "reversals": counts["reversals"],
            "refusals": dict(figures.refusals),
            "latency_ms": figures.latency_ms(),
            "purses": {PURSE: self.points()},
            "books_sum": self.books_sum,
            "check": self.check,
            "merchants": {
                one: {"name": books.name, "books_sum": books.books_sum, "check": books.check}
                for one, books in self.books.items()
            },
            "cards": self.cards,
            "coalition": self._coalition(),
            "settlement": {
                "closes": self.settlement.closes,
                "nets": self.settlement.nets,
                "nets_sum": self.settlement.nets_sum,
                "verified": self.settlement.verified,
                "agreed": self.settlement.agreed,
                "change_found": self.settlement.change_found,
                "mismatch": self.settlement.mismatch.shown,
                "service_restarts": self.settlement.service_restarts,
            },
            "seconds": round(self.seconds, 1),
        }

    def _coalition(self) -> dict[str, Any]:
        pairs, abroad = self.day.pairs, counts_of(f for (a, b), f in self.day.figures.items() if a != b)
        return {
            "pairs": len(pairs),
            "chains_equal": self.chains_equal,
            "lanes": sum(pair.lanes for pair in pairs),
            "exchanges": sum(pair.records for pair in pairs),
            "signatures_verified": sum(pair.signatures for pair in pairs),
            "accruals_abroad": abroad["accruals"],
            "redemptions_abroad": abroad["redemptions"],
            "earned_while_home_was_gone": abroad["pending"],
            "killed": self.day.victim.merchant_id,
            "restart_seconds": round(self.day.restart_seconds, 1),
            "told_right": self.told_right,
            "by_pair": {
                f"{pair.home_id} at {pair.acquirer_id}": {
                    "records": pair.records,
                    "earned": pair.units[EARNED],
                    "spent": pair.units[SPENT],
                    "problems": pair.problems,
                }
                for pair in pairs
            },
        }


def counts_of(several: Iterable[Figures]) -> Counter[str]:
    """Their counts together."""
    counts: Counter[str] = Counter()
    for figures in several:
        counts.update(figures.counts)
    return counts


def merged(figures: Mapping[tuple[str, str], Figures]) -> Figures:
    """All figures as one. Calls about members of other merchants are named so."""
    together = Figures()
    for (home_id, acquirer_id), one in figures.items():
        together.counts.update(one.counts)
        together.refusals.update(one.refusals)
        together.issued.update(one.issued)
        together.redeemed.update(one.redeemed)
        for call, times in one.latencies_us.items():
            name = call if home_id == acquirer_id or call in _ABROAD_ONLY else f"{call} abroad"
            together.latencies_us.setdefault(name, []).extend(times)
    return together


_ABROAD_ONLY = frozenset({"request proof", "code arrives"})
