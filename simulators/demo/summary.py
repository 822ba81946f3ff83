"""What a run of the demo comes to: for a person as a table, for a machine as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from node.proto.vafa.admin.v1 import admin_service_pb2
from simulators.demo.figures import PERCENTS, Figures
from simulators.demo.proof import CLEAN
from simulators.demo.receipt import Shopfront
from simulators.demo.screen import Screen

MAX_SHOWN_REFUSALS = 10


@dataclass(slots=True)
class Summary:
    """All that is told at the end. `check` is "clean" or what `vafa check` found."""

    source: str
    members: int
    tills: int
    shop: Shopfront
    figures: Figures
    totals: Sequence[admin_service_pb2.PurseTotals]
    check: str
    screen_lines: Sequence[str]
    seconds: float = 0.0

    @property
    def books_sum(self) -> int:
        """0 where the books of every purse sum to zero, else by how much they miss it in all."""
        return sum(abs(purse.books_sum) for purse in self.totals)

    @property
    def good(self) -> bool:
        """Whether the books are whole: they sum to zero and the check is clean."""
        return self.books_sum == 0 and self.check == CLEAN

    def as_json(self) -> dict[str, Any]:
        """The figures for a machine. Amounts are minor units; times are said in the names."""
        figures = self.figures
        return {
            "source": self.source,
            "members": self.members,
            "tills": self.tills,
            "accruals": figures.counts["accruals"],
            "accruals_per_second": round(figures.accruals_per_second(), 1),
            "offline_accruals": figures.counts["offline_accruals"],
            "offline_accruals_per_second": round(_offline_per_second(figures), 1),
            "redemptions": figures.counts["redemptions"],
            "voids": figures.counts["voids"],
            "returns": figures.counts["returns"],
            "reversals": figures.counts["reversals"],
            "refusals": dict(figures.refusals),
            "latency_ms": figures.latency_ms(),
            "purses": {
                purse.purse: {
                    "issued": purse.issued,
                    "redeemed": purse.redeemed,
                    "breakage": purse.breakage,
                    "outstanding": purse.outstanding,
                    "books_sum": purse.books_sum,
                }
                for purse in self.totals
            },
            "books_sum": self.books_sum,
            "check": self.check,
            "seconds": round(self.seconds, 1),
        }


def show(summary: Summary, screen: Screen) -> None:
    """The summary for a person."""
    screen.say()
    screen.say("What a customer saw at the till", style="bold")
    for line in summary.screen_lines:
        screen.say(f"  {line}")
    screen.say()
    screen.say("What the tills did", style="bold")
    _show_counts(summary, screen)
    show_latencies(summary.figures, screen)
    screen.say()
    screen.say("What the merchant's books say", style="bold")
    for purse in summary.totals:
        _show_purse(purse, summary.shop, screen)
    _show_verdict(summary, screen)


def _show_counts(summary: Summary, screen: Screen) -> None:
    figures, counts = summary.figures, summary.figures.counts
    rows = [
        (f"{summary.members:,}", "members"),
        (f"{summary.tills:,}", "tills, each with a certificate of its own"),
        (f"{counts['accruals']:,}", "purchases recorded"),
        (
            f"{figures.accruals_per_second():,.0f}",
            "of them a second, each one call, while the tills also did the rest",
        ),
    ]
    if counts["offline_accruals"]:
        rows.append((f"{counts['offline_accruals']:,}", "sold offline and posted when the line was back,"))
        rows.append((f"{_offline_per_second(figures):,.0f}", "of them a second, in batches and on a stream"))
    rows += [
        (f"{counts[kind]:,}", words)
        for kind, words in (
            ("redemptions", "payments with points"),
            ("voids", "reservations let go"),
            ("returns", "returns of goods"),
            ("reversals", "sales cancelled"),
        )
        if counts[kind]
    ]
    for reason, count in figures.refusals.most_common(MAX_SHOWN_REFUSALS):
        rows.append((f"{count:,}", f"refused: {reason}"))
    show_rows(rows, screen)


def show_rows(rows: Iterable[tuple[str, str]], screen: Screen) -> None:
    """Figures, with what each is of."""
    for number, words in rows:
        screen.say(f"  {number:>10}  {words}")


def show_latencies(figures: Figures, screen: Screen) -> None:
    """A line for each call: how often, and how long it took."""
    screen.say()
    header = "".join(f"{f'p{percent}':>9}" for percent in PERCENTS)
    screen.say(f"  {'call, in milliseconds at the till':<34}{'calls':>9}{header}", style="dim")
    for call, times in figures.latency_ms().items():
        cells = "".join(f"{times[f'p{percent}']:>9.1f}" for percent in PERCENTS)
        screen.say(f"  {call:<34}{len(figures.latencies_us[call]):>9,}{cells}")


def _show_purse(purse: admin_service_pb2.PurseTotals, shop: Shopfront, screen: Screen) -> None:
    rows = [
        (purse.issued, "issued"),
        (purse.redeemed, "redeemed"),
        (purse.breakage, "expired or forfeited"),
        (purse.outstanding, "outstanding: what members hold"),
        (purse.books_sum, "sum of all books"),
    ]
    for units, words in rows:
        screen.say(f"  {shop.units(purse.purse, units):>26}  {words}")


def _show_verdict(summary: Summary, screen: Screen) -> None:
    screen.say()
    if summary.good:
        screen.say(
            "  The books sum to zero and `vafa check` is clean: every journal replays to every balance,"
        )
        screen.say("  and what the tills were told of points adds up to what the journal holds.")
    if summary.books_sum:
        screen.say(f"  THE BOOKS MISS ZERO BY {summary.books_sum:,}.", style="bold red")
    if summary.check != CLEAN:
        screen.say(f"  `vafa check` FOUND: {summary.check}", style="bold red")
    screen.say(f"  All in {summary.seconds:.0f} s.")


def _offline_per_second(figures: Figures) -> float:
    took_ms = figures.counts["catch_up_ms"]
    return figures.counts["offline_accruals"] * 1000 / took_ms if took_ms else 0.0
