"""What stories of members abroad have in common."""

from __future__ import annotations

from node.coalition.exchange import AcquirerState
from node.coalition.messages import ReturnAbroad, SaleTerms
from node.wire.coalition_records import Outcome
from tests.actors.abroad_merchants import Bazaar
from tests.actors.harness import card


async def opened() -> Bazaar:
    """Two merchants whose lanes are open; the first has two members, one with 1,000 points."""
    bazaar = Bazaar()
    await bazaar.nile.enrol(card(1))
    await bazaar.nile.enrol(card(2))
    await bazaar.nile.buys(card(1), 1_000)
    await bazaar.open()
    return bazaar


async def spends(bazaar: Bazaar, request_id: str, units: int, *, one_step: bool = True) -> Outcome:
    """A member with a fresh code spends at saffron's till."""
    bazaar.nile.now_ms += 60_000
    bazaar.saffron.now_ms += 60_000
    code = await bazaar.saffron.asks_for_code(1, 1_000)
    await bazaar.pump()
    outcome = await bazaar.saffron.spends(request_id, 1, units, code, one_step)
    await bazaar.pump()
    return outcome


async def returns(bazaar: Bazaar, request_id: str, original: str, units: int) -> Outcome:
    known = await bazaar.saffron.looks(original)
    terms = SaleTerms("shop", "till", bazaar.saffron.now_ms, b"")
    body = ReturnAbroad(known.exchange_id, known.number, units, terms)
    outcome = await bazaar.saffron.begins(request_id, body, lane=known.lane)
    await bazaar.pump()
    return outcome


async def state(bazaar: Bazaar, request_id: str) -> AcquirerState:
    return (await bazaar.saffron.looks(request_id)).state
