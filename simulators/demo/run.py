"""The demo from the first file to the last line: a node, a day at its tills, the books."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from node.identity.caller import Role
from simulators import shoppers
from simulators.baskets import read_baskets
from simulators.demo.days import Day, generated_day, recorded_day
from simulators.demo.proof import prove
from simulators.demo.receipt import Shopfront, till_screen
from simulators.demo.replay import NODE_SETTINGS, brought_up_to
from simulators.demo.screen import Screen
from simulators.demo.summary import Summary
from simulators.launch import NodeFailed, NodeUnderTest, launch_node
from simulators.purchases import Basket
from simulators.staff import Staff

SHOP_NAME = "فروشگاه وفا"
TIME_ZONE = "Asia/Tehran"
LANGUAGE = "fa"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. With `baskets` the recording decides members, tills and purchases."""

    members: int
    tills: int
    purchases: int
    seed: int
    baskets: Path | None


def run(plan: Plan, directory: Path, screen: Screen) -> Summary:
    """Run the demo in `directory` and say how it went. A node that fails is `NodeFailed`.

    Whatever else goes wrong is raised as it is; the node is never left running.
    """
    started = time.monotonic()
    recording = _recording(plan.baskets, screen) if plan.baskets is not None else None
    with screen.step("starting a node on embedded defaults"):
        node = launch_node(
            directory,
            name=SHOP_NAME,
            time_zone=TIME_ZONE,
            currency=shoppers.CURRENCY,
            currency_exponent=shoppers.CURRENCY_EXPONENT,
            settings={"merchant.language": LANGUAGE, **(NODE_SETTINGS if recording is not None else {})},
        )
        node.start()
    try:
        summary = asyncio.run(_open(node, plan, recording, screen))
    except BaseException:
        # What went wrong is the news; a node that then does not stop well is only a second one.
        with suppress(NodeFailed):
            node.stop()
        raise
    with screen.step("stopping the node"):
        node.stop()
    with screen.step("proving the books with `vafa check`"):
        summary.check = prove(node, summary.totals, summary.figures)
    summary.seconds = time.monotonic() - started
    return summary


def _recording(path: Path, screen: Screen) -> Sequence[Basket]:
    with screen.step(f"reading {path.name}"):
        recorded = read_baskets(path)
    recording = brought_up_to(recorded, time.time_ns() // 1_000_000)
    first, last = (time.strftime("%d %b %Y", time.gmtime(recorded[at].occurred_ms // 1000)) for at in (0, -1))
    screen.say(
        f"        {len(recorded):,} baskets, {first} to {last}, all moved by one span to end an hour ago."
    )
    screen.say(
        "        This node takes postings up to 365 days late, not the usual 30; its clock is the real one."
    )
    return recording


async def _open(
    node: NodeUnderTest, plan: Plan, recording: Sequence[Basket] | None, screen: Screen
) -> Summary:
    async with Staff(node.addresses.serving, node.issue(Role.ADMIN, "demo")) as staff:
        if recording is not None:
            day = await recorded_day(node, staff, screen, recording)
        else:
            day = await generated_day(
                node,
                staff,
                screen,
                members=plan.members,
                tills=plan.tills,
                purchases=plan.purchases,
                seed=plan.seed,
            )
        return await _close(staff, day)


async def _close(staff: Staff, day: Day) -> Summary:
    programme = await staff.programme()
    status = await staff.status()
    purses = {purse.code: purse for purse in programme.purses}
    shop = Shopfront(SHOP_NAME, TIME_ZONE, shoppers.CURRENCY_EXPONENT, purses)
    return Summary(
        source=day.source,
        members=day.members,
        tills=day.tills,
        shop=shop,
        figures=day.figures,
        totals=list(status.totals),
        check="it was not run",
        screen_lines=till_screen(day.visit, shop),
    )
