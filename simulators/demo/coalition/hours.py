"""Open hours in the town: all tills at work, and what they do while their own node is gone."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from node.proto.vafa.pos.v1 import operation_pb2
from node.wire.card_words import tap_number
from simulators.demo.coalition.town import Town
from simulators.demo.figures import Figures
from simulators.demo.screen import Advance
from simulators.demo.shopping import Counter as Stand
from simulators.demo.shopping import serve
from simulators.operations import change_in
from simulators.refusal import NO_ANSWER, refusal_of_item
from simulators.till import OutcomeUnknown, Patience

TILL_PATIENCE = Patience(attempts=4, attempt_seconds=6.0, total_seconds=12.0, longest_wait_seconds=1.0)
"""A till of the demo gives up on a silent node sooner than a real one, which would wait twice as long."""

CATCH_UP_SECONDS = 60.0

_NEXT_CUSTOMER_SECONDS = 0.2
"""While a node is away nothing is measured, and what it needs to come back is not taken from it."""
_SPENDS = frozenset({"redeem", "authorize"})


@dataclass(slots=True)
class Place:
    """A till of a town. `offline` from when its node stopped to answer until it has caught up; `sold` are the
    operations that it has kept, by their request ids, with whose figures they belong to."""

    town: Town
    stand: Stand
    offline: bool = False
    kept: dict[str, Figures] = field(default_factory=dict)


async def open_for(places: Sequence[Place], sales: int, advance: Advance) -> None:
    """`sales` customers at all tills side by side; the time that they took goes to the towns' figures."""
    left = iter(range(sales))

    async def work(place: Place) -> None:
        for _ in left:
            await serve(place.town, place.stand)
            advance(1)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tills:
        for place in places:
            tills.create_task(work(place))
    seconds = time.perf_counter() - started
    for town in {id(place.town): place.town for place in places}.values():
        town.figures.shopping_seconds += seconds


@asynccontextmanager
async def all_open(places: Sequence[Place], advance: Advance) -> AsyncIterator[None]:
    """Every till serves for as long as the block lasts, with its node or without."""
    closed = asyncio.Event()

    async def work(place: Place) -> None:
        while not closed.is_set():
            if place.offline:
                await sell_without_a_line(place)
            else:
                await serve_or_go_offline(place)
            advance(1)
            await asyncio.sleep(_NEXT_CUSTOMER_SECONDS)

    async with asyncio.TaskGroup() as tills:
        for place in places:
            tills.create_task(work(place))
        try:
            yield
        finally:
            closed.set()


async def serve_or_go_offline(place: Place) -> None:
    """One customer. When its node stays silent the till goes offline; what it has begun it keeps for later,
    also where the node is well and only a partner has not answered yet."""
    town = place.town
    try:
        await serve(town, place.stand)
    except OutcomeUnknown as unknown:
        if unknown.last is None or unknown.last.reason == NO_ANSWER:
            place.offline = True
            place.stand.till.go_offline()
            town.figures.counts["went_offline"] += 1
        operation = unknown.operation
        if operation is None:
            return
        # It is in the till's queue already. A sale stands; a payment with points that nobody has confirmed is
        # undone behind it, executed or not, and the customer pays in money.
        _keep_track(place, operation)
        if operation.WhichOneof("operation") in _SPENDS:
            keep(place, place.stand.till.write.reversal_of(operation))


async def sell_without_a_line(place: Place) -> None:
    """One customer of a till whose node is gone: what is earned is kept, nothing can be spent."""
    town, till = place.town, place.stand.till
    sale, member, basket = town.new_sale(place.stand.store_id)
    shown = town.named(member, random.Random(f"visit {town.seed} {sale}"))
    operation = till.write.accrual(shown, basket.purchase(), basket.occurred_ms)
    place.kept[change_in(operation).request_id] = town.figures_of(member)
    await asyncio.to_thread(till.keep, operation)
    town.left(member)


def keep(place: Place, operation: operation_pb2.Operation) -> None:
    """Into the till's queue, for when the node is back."""
    _keep_track(place, operation)
    place.stand.till.keep(operation)


def _keep_track(place: Place, operation: operation_pb2.Operation) -> None:
    change = change_in(operation)
    shown = change.identifier.value if change.HasField("identifier") else ""
    card = tap_number(shown) or shown
    place.kept[change.request_id] = place.town.figures_by_card(card)


async def catch_up(place: Place, advance: Advance) -> None:
    """The node is back: everything kept is sent, oldest first, until each has its answer."""
    started = time.perf_counter()
    answers: dict[str, tuple[operation_pb2.Operation, operation_pb2.OperationResult]] = {}
    till = place.stand.till
    while True:
        async for operation, result in till.catch_up():
            answers[change_in(operation).request_id] = (operation, result)
            advance(1)
        if not till.unanswered:
            break
        if time.perf_counter() - started > CATCH_UP_SECONDS:
            raise OutcomeUnknown(None)
    undone = {operation.reverse.original_request_id for operation, _ in answers.values()}
    for request_id, (_, result) in answers.items():
        note(place.kept.get(request_id, place.town.figures), result, undone=request_id in undone)
    place.town.figures.counts["catch_up_ms"] += int((time.perf_counter() - started) * 1000)
    place.kept.clear()
    place.offline = False


def note(figures: Figures, result: operation_pb2.OperationResult, *, undone: bool) -> None:
    """Counts a late answer. What was undone behind it has moved nothing in the end."""
    kind = result.WhichOneof("result") or ""
    if kind == "refusal":
        figures.refusals[refusal_of_item(result.refusal).reason] += 1
        return
    answer = getattr(result, kind)
    if kind == "accrue":
        figures.told(answer.effects)
        figures.counts["accruals"] += 1
        figures.counts["offline_accruals"] += 1
    elif kind in ("redeem", "capture") and not undone:
        figures.paid(answer.spent)
        figures.counts["redemptions"] += 1
    elif kind == "return":
        figures.told(answer.effects)
        figures.counts["returns"] += 1
    elif kind == "reverse":
        figures.counts["reversals"] += 1
