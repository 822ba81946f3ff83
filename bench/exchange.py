"""`python -m bench exchange`: redemptions at a partner's till, between two whole nodes, beside their limit.

Members of one node spend at the other's till, one step each. Every redemption goes over mutual TLS from the
till to the acquirer, and in signed messages over the link to the home node and back; both nodes have it on
their disks. The member proves by the app's answer, which takes no message of its own. And accruals at home of
a node that joined a coalition, in turns with one that did not.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

from bench import exchange_home, exchange_limit
from bench.contest import COLUMNS, Contestant, rate_ratio, take_turns
from bench.exchange_nodes import Two, running_two
from bench.load import Measurement, drive_unary, run_async
from bench.report import figure, finish, parser, say, show_goals, show_table, warn_when_busy
from bench.subject import now_ms
from bench.tls import write_server_tls
from node.identity.caller import Role
from node.identity.keys import load_secrets

LEVELS = (1, 16, 64)
"""Redemptions in flight."""

ADDED_MS = 20.0
"""What a round trip between the nodes takes longer, in the last measurement: half of it each way."""

RATE_GOAL, ROUND_TRIPS_GOAL, HOME_GOAL = 0.4, 4.0, 0.9
CEILING_PER_SECOND = 1_500
"""Requests made before the clock starts, for each second: more than two nodes can do on a small machine."""
_WARM_UP_SECONDS = 1.0


def main(arguments: list[str]) -> int:
    """Measure, print, write. 0 also where a goal is missed: that is said, not punished."""
    made = parser("exchange", __doc__ or "", seconds=3.0)
    made.add_argument("--rounds", type=int, default=3, metavar="N", help="turns at each level (default 3)")
    options = made.parse_args(arguments)
    warn_when_busy()
    with tempfile.TemporaryDirectory(prefix="vafa-bench-") as scratch:
        directory = Path(scratch)
        with running_two(directory) as two:
            _redeem(two, 1, _WARM_UP_SECONDS).insist("warming up")
            messages = {level: count_messages(two, level, options.seconds) for level in LEVELS}
            contest = run(two, directory, messages, options.seconds, options.rounds)
            with exchange_home.node_alone(directory, two.home.members) as alone:
                at_home = exchange_home.compare(
                    two.home.node, alone, two.home.members, options.seconds, options.rounds
                )
            say(f"Both nodes {ADDED_MS:.0f} ms apart …")
            with two.apart(ADDED_MS / 2 / 1000):
                far = _redeem(two, 1, max(options.seconds, 1.0)).insist("20 ms apart")
    rows = [each.row() for level in LEVELS for each in contest[level]]
    rows += [each.row() for each in at_home]
    far_cells = (figure(far.per_second), *(figure(far.latency_ms(each)) for each in (50, 95, 99)))
    rows.append((f"redemption, {ADDED_MS:.0f} ms apart", "1", *far_cells))
    show_table("Redemptions (or accruals) per second: median of the turns (least–greatest)", COLUMNS, rows)
    ratios = {str(level): rate_ratio(*contest[level]).median for level in LEVELS}
    ratios["home_accrual"] = rate_ratio(*at_home).median
    show_table(
        "Redemptions for each of the limit's",
        ("in flight", "messages each", "ratio"),
        [(str(level), figure(messages[level]), figure(ratios[str(level)])) for level in LEVELS],
    )
    in_round_trips = far.latency_ms(50) / ADDED_MS
    show_goals(
        (
            ("redemptions for each of the limit's, 64 in flight", ratios["64"], ">=", RATE_GOAL),
            ("p50 in added round trips, 1 in flight, 20 ms apart", in_round_trips, "<=", ROUND_TRIPS_GOAL),
            ("accruals at home, joined for each alone", ratios["home_accrual"], ">=", HOME_GOAL),
        )
    )
    figures: dict[str, Any] = {
        "proof": "app_answer",
        "messages_each": {str(level): each for level, each in messages.items()},
        "redemptions": {str(level): contest[level][0].figures() for level in LEVELS},
        "limit": {str(level): contest[level][1].figures() for level in LEVELS},
        "home_accrual": {"joined": at_home[0].figures(), "alone": at_home[1].figures()},
        "ratios": ratios,
        "apart": {
            "added_ms": ADDED_MS,
            "p50_ms": far.latency_ms(50),
            "p99_ms": far.latency_ms(99),
            "p50_in_round_trips": in_round_trips,
        },
    }
    finish("exchange", figures, options.json)
    return 0


def count_messages(two: Two, in_flight: int, seconds: float) -> float:
    """Messages between the nodes for one redemption, by the nodes' own counts. Fewer where more is in flight:
    one HEAD_ACK acknowledges all of a lane that came with it."""
    before = two.messages_sent()
    measured = _redeem(two, in_flight, seconds).insist("counting messages")
    return (two.messages_sent() - before) / measured.work


def run(
    two: Two, directory: Path, messages: dict[int, float], seconds: float, rounds: int
) -> dict[int, tuple[Contestant, Contestant]]:
    """Redemptions and the limit in turns, at each level."""
    own = load_secrets(two.acquirer.node.installation / "data" / "secrets")
    certificate = two.acquirer.node.issue(Role.TILL, "limit", store="store-1")
    limit_directory = directory / "limit"
    limit_directory.mkdir()
    tls = write_server_tls(limit_directory, own.authority, own.server_key, now_ms=now_ms())
    contest = {}
    with exchange_limit.serving(tls) as served:
        for level in LEVELS:

            def a_redemption(level: int = level) -> Measurement:
                return _redeem(two, level, seconds)

            def a_limit(level: int = level) -> Measurement:
                return run_async(
                    exchange_limit.drive(
                        served.address,
                        certificate,
                        limit_directory,
                        messages=messages[level],
                        in_flight=level,
                        seconds=seconds,
                    )
                )

            pair = (
                Contestant("redemption", level, a_redemption, dict),
                Contestant("limit", level, a_limit, dict),
            )
            say(f"{level} in flight …")
            take_turns(pair, rounds)
            contest[level] = pair
    return contest


def _redeem(two: Two, in_flight: int, seconds: float) -> Measurement:
    requests = two.redemptions(math.ceil(CEILING_PER_SECOND * seconds))
    return run_async(drive_unary(two.till(), requests, in_flight=in_flight, seconds=seconds))
