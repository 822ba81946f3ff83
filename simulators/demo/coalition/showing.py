"""The coalition's summary for a person."""

from __future__ import annotations

from simulators.demo.coalition.chains import EARNED, SPENT
from simulators.demo.coalition.merchants import PURSE
from simulators.demo.coalition.settling import Settlement
from simulators.demo.coalition.summary import CoalitionSummary, counts_of
from simulators.demo.proof import CLEAN
from simulators.demo.receipt import apart
from simulators.demo.screen import Screen
from simulators.demo.summary import MAX_SHOWN_REFUSALS, show_latencies, show_rows

_SHOWN_PROBLEMS = 5


def show(summary: CoalitionSummary, screen: Screen) -> None:
    """Screens, counts, latencies, what tills were told, books, chains, and the verdict."""
    for seen, lines in summary.screens:
        screen.say()
        screen.say(seen.title, style="bold")
        if seen.code_words:
            screen.say(f"  The member's telephone: {apart(seen.code_words)}")
        for line in lines:
            screen.say(f"  {line}")
    screen.say()
    _show_counts(summary, screen)
    show_latencies(summary.figures, screen)
    _show_outage(summary, screen)
    _show_books(summary, screen)
    _show_chains(summary, screen)
    _show_settlement(summary, screen)
    _show_verdict(summary, screen)


def _show_counts(summary: CoalitionSummary, screen: Screen) -> None:
    screen.say("What the tills did", style="bold")
    figures, counts = summary.figures, summary.figures.counts
    abroad = counts_of(each for (a, b), each in summary.day.figures.items() if a != b)
    rows = [
        (f"{summary.members:,}", f"members of {len(summary.books)} merchants"),
        (f"{summary.day.tills:,}", "tills, each with a certificate of its own merchant's"),
        (f"{counts['accruals']:,}", f"purchases recorded, {abroad['accruals']:,} of them of others' members"),
        (
            f"{summary.accruals_per_second:,.0f}",
            "of them a second, one by one, while the tills also did the rest",
        ),
        (f"{counts['redemptions']:,}", f"payments with points, {abroad['redemptions']:,} of them abroad"),
        (f"{counts['card_proofs']:,}", "spends proved by chip cards, at home and abroad"),
        (f"{counts['codes']:,}", "codes that home nodes sent to members' telephones"),
        (f"{counts['voids']:,}", "reservations let go"),
        (f"{counts['returns']:,}", "returns of goods"),
        (f"{counts['reversals']:,}", "sales cancelled or undone"),
        (f"{counts['offline_accruals']:,}", "sold offline and posted when the node was back"),
    ]
    rows += [
        (f"{count:,}", f"refused: {reason}")
        for reason, count in figures.refusals.most_common(MAX_SHOWN_REFUSALS)
    ]
    show_rows(rows, screen)
    cards = summary.cards
    screen.say(
        f"  cards: {cards['carried']:,} carried, {cards['taps']:,} taps, "
        f"{cards['spends_proved']:,} spends proved, refused: {cards['refused']:,}"
    )


def _show_outage(summary: CoalitionSummary, screen: Screen) -> None:
    day = summary.day
    screen.say()
    screen.say(f"While the node of {apart(day.victim.trader.name)} was dead", style="bold")
    for told in day.told:
        earned = "earned, kept for later" if told.kept else "NOT KEPT"
        spent = "SPENT" if told.spent else f"refused, {told.reason}: {told.words}"
        screen.say(f"  {apart(told.till)}, with a member of it at the till")
        screen.say(f"    earning   {earned}")
        screen.say(f"    spending  {spent}")
    screen.say(
        f"  {day.victims_offline} of its own tills sold without it. It served again after "
        f"{day.restart_seconds:.1f} s."
    )


def _show_books(summary: CoalitionSummary, screen: Screen) -> None:
    screen.say()
    screen.say("What the merchants' books say, in points", style="bold")
    head = ("issued", "redeemed", "lapsed", "outstanding", "books' sum")
    screen.say(f"  {'':<12}" + "".join(f"{one:>14}" for one in head), style="dim")
    for merchant_id, books in summary.books.items():
        own = books.of(PURSE)
        cells = (own.issued, own.redeemed, own.breakage, own.outstanding, books.books_sum)
        screen.say(f"  {merchant_id:<12}" + "".join(f"{cell:>14,}" for cell in cells))
    points = summary.points()
    screen.say(f"  {'together':<12}" + "".join(f"{cell:>14,}" for cell in points.values()))
    screen.say("  Together also counts what was earned and spent abroad, which stands in the signed chains:")


def _show_chains(summary: CoalitionSummary, screen: Screen) -> None:
    head = ("lanes", "records", "earned", "spent")
    screen.say(f"  {'':<24}" + "".join(f"{one:>10}" for one in head) + "  both sides", style="dim")
    for pair in summary.day.pairs:
        cells = (pair.lanes, pair.records, pair.units[EARNED], pair.units[SPENT])
        verdict = "the same, byte for byte" if pair.equal else "DIFFER"
        name = f"{pair.home_id} at {pair.acquirer_id}"
        screen.say(f"  {name:<24}" + "".join(f"{cell:>10,}" for cell in cells) + f"  {verdict}")
        for problem in pair.problems[:_SHOWN_PROBLEMS]:
            screen.say(f"    {problem}", style="bold red")


def _show_settlement(summary: CoalitionSummary, screen: Screen) -> None:
    found = summary.settlement
    screen.say()
    screen.say("How the merchants settle", style="bold")
    for line in found.table.splitlines():
        screen.say(f"  {line}")
    if found.problem and not found.verdict:
        screen.say(f"  NOT SETTLED: {found.problem}.", style="bold red")
        return
    screen.say()
    screen.say(f"  {', '.join(found.agreed)}: the statement is what their own records give.")
    screen.say(f"  The independent verifier, with nothing but directory and file: {found.verdict}")
    refused = "refused" if found.change_found else "TAKEN FOR SOUND"
    screen.say(f"  A copy of the statement with one changed byte: {refused}")
    _show_mismatch(found, screen)


def _show_mismatch(found: Settlement, screen: Screen) -> None:
    lost = found.mismatch
    screen.say()
    screen.say(f"What becomes of a record that {lost.acquirer_id} has lost", style="bold")
    for line in lost.report.splitlines():
        screen.say(f"  {line}")
    screen.say()
    if found.problem:
        screen.say(f"  NOT SETTLED: {found.problem}.", style="bold red")
        return
    settled = "was settled by the window after it" if lost.settled_next else "IS STILL NOT SETTLED"
    words = lost.kind.replace("_", " ")
    screen.say(f"  Record {lost.n} of lane {lost.lane}, {words}, {settled}.")


def _show_verdict(summary: CoalitionSummary, screen: Screen) -> None:
    screen.say()
    if summary.good:
        signatures = sum(pair.signatures for pair in summary.day.pairs)
        screen.say(
            "  Everybody's books sum to zero and every `vafa check` is clean. Both sides of every pair hold"
        )
        screen.say(
            f"  the same signed chain, heads and records; all {signatures:,} signatures hold, and what"
        )
        screen.say("  the tills were told adds up to what was signed.")
    if summary.books_sum:
        screen.say(f"  THE BOOKS MISS ZERO BY {summary.books_sum:,}.", style="bold red")
    if summary.check != CLEAN:
        screen.say(f"  `vafa check` FOUND: {summary.check}", style="bold red")
    if not summary.chains_equal:
        screen.say("  THE TWO SIDES OF A PAIR DO NOT HOLD THE SAME.", style="bold red")
    if not summary.settled:
        screen.say("  THE WINDOW IS NOT SETTLED AND VERIFIED BY EVERYBODY.", style="bold red")
    if not summary.told_right:
        screen.say("  A TILL WAS TOLD WRONG WHILE A NODE WAS GONE.", style="bold red")
    screen.say(f"  All in {summary.seconds:.0f} s.")
