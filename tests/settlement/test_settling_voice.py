"""What merchants say to each other about windows comes to an end, however late a message arrives."""

import asyncio

from tests.actors.abroad_merchants import SAFFRON, Bazaar
from tests.settlement.settled_bazaar import Settler


async def test_an_answer_that_comes_after_nobody_waits_for_it_any_more_is_let_go() -> None:
    bazaar = Bazaar()
    await bazaar.open()
    nile, _ = Settler(bazaar.nile), Settler(bazaar.saffron)
    asking = asyncio.ensure_future(nile.settling.exchange_heads(SAFFRON))
    while not bazaar.network:  # noqa: ASYNC110 - the question goes out within a few turns of the loop
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert await bazaar.pump(bound=20) == 2
