"""What a hostile partner tries as a home node: records that nobody asked for, in wrong windows or disorder,
and two histories of one lane. Each is refused by name; what contradicts signed words sets the lane aside.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from node.coalition.envelopes import Draft, Message
from node.coalition.lanes import chain
from node.coalition.messages import (
    Authorized,
    ExchangeReason,
    Hello,
    LaneHead,
    MessageType,
    Posted,
    PostedCore,
    RecordKind,
)
from node.wire.coalition import Carried
from node.wire.coalition_bodies import ENCODER
from simulators.chaos.hostile_partner import Attack, Seen, Thief, with_beside
from simulators.sim.bazaar import PARTITIONS
from simulators.sim.coalition import WINDOWS

_T, _R = MessageType, ExchangeReason
FAR_AHEAD_MS = 86_400_000
NO_SUCH_WINDOW = 99


def names_no_lane(thief: Thief, victim: str) -> bool:
    """HELLO for a lane that the merchant does not have."""
    head = LaneHead(PARTITIONS, 0, bytes(32), 1)
    thief.say(victim, Draft(_T.HELLO, PARTITIONS, 1, b"", Hello(head, b"n" * 16)))
    return True


def authorizes_what_nobody_asked(thief: Thief, victim: str) -> bool:
    """AUTHORIZED for an id that the victim never used."""
    seen = _newest_record(thief, victim)
    if seen is None:
        return False
    header = seen.message.header
    body = Authorized(bytes(32), thief.world.clock_ms() + 60_000, 5, b"p" * 16, 5)
    thief.say(victim, Draft(_T.AUTHORIZED, header.lane, header.epoch, thief.chance.randbytes(16), body))
    return True


def posts_what_nobody_asked(thief: Thief, victim: str) -> bool:
    """The next record of a lane, for a request that the victim never signed."""
    seen = _newest_record(thief, victim)
    if seen is None:
        return False
    lane = seen.message.header.lane
    head = _head(thief, victim, lane)
    if head is None:
        return False
    thief.signs_twice(victim, lane)
    exchange_id = thief.chance.randbytes(16)
    core = replace(
        _posted(seen).core,
        number=head.number + 1,
        exchange_id=exchange_id,
        request_hash=thief.chance.randbytes(32),
    )
    body = _body(core, head.hash, b"a request")
    thief.say(victim, Draft(_T.POSTED, lane, head.epoch, exchange_id, body))
    return True


def posts_in_an_old_epoch(thief: Thief, victim: str) -> bool:
    """A record of before the last HELLO, that the victim has not seen."""
    seen = _newest_record(thief, victim)
    if seen is None:
        return False
    header, body = seen.message.header, _posted(seen)
    later = replace(body.core, number=body.core.number + 50)
    draft = Draft(_T.POSTED, header.lane, header.epoch - 1, header.exchange_id, _body(later, bytes(32), b""))
    thief.say(victim, draft)
    return True


def posts_for_another_lane(thief: Thief, victim: str) -> bool:
    """A record whose core names another lane than its header."""
    seen = _newest_record(thief, victim)
    if seen is None:
        return False
    header, body = seen.message.header, _posted(seen)
    other = replace(body.core, lane=(header.lane + 1) % PARTITIONS)
    thief.say(
        victim, Draft(_T.POSTED, header.lane, header.epoch, header.exchange_id, _body(other, bytes(32), b""))
    )
    return True


def withholds_a_record(thief: Thief, victim: str) -> bool:
    """A record is held back until one after it was said; from then on all come."""
    held: dict[int, int] = {}

    def hook(of: str, to: str, carried: Carried) -> list[bytes] | None:
        body = carried.message.body
        if (of, to) != (thief.own_id, victim) or not isinstance(body, Posted):
            return None
        lane, number = carried.message.header.lane, body.core.number
        if thief.spoiled(victim, lane):
            return None
        if number > held.setdefault(lane, number):
            thief.springs(victim)
            return None
        return []

    return thief.waits_for(victim, hook)


def posts_in_no_window(thief: Thief, victim: str) -> bool:
    """A window that the directory does not know; the merchant's own record follows."""
    return _replaced(thief, victim, lambda core: replace(core, window=NO_SUCH_WINDOW))


def posts_in_a_wrong_window(thief: Thief, victim: str) -> bool:
    """A time and a window that have not come."""

    def later(core: PostedCore) -> PostedCore:
        return replace(core, window=WINDOWS, post_time_ms=core.post_time_ms + FAR_AHEAD_MS)

    return _replaced(thief, victim, later, aside=True)


def posts_another_amount(thief: Thief, victim: str) -> bool:
    """More than the victim has asked for."""
    return _replaced(thief, victim, lambda core: replace(core, units=core.units + 7), aside=True)


def tells_another_newest_record(thief: Thief, victim: str) -> bool:
    """The victim's newest record once more, with another amount."""
    return _contradicts(thief, victim, below=False)


def tells_another_old_record(thief: Thief, victim: str) -> bool:
    """A record below the victim's head once more, with another amount."""
    return _contradicts(thief, victim, below=True)


def _contradicts(thief: Thief, victim: str, *, below: bool) -> bool:
    for seen in thief.said_to(victim, _T.POSTED):
        header, body = seen.message.header, _posted(seen)
        lane, number = header.lane, body.core.number
        kept = thief.newest_of(victim, lane)
        if thief.spoiled(victim, lane) or not 0 < number <= kept or (number < kept) != below:
            continue
        epoch = thief.epoch_of(victim, lane, home=True)
        if not epoch:
            continue
        other = _body(replace(body.core, units=body.core.units + 1), bytes(32), b"")
        thief.sets_aside(victim, lane)
        thief.say(victim, Draft(_T.POSTED, lane, epoch, header.exchange_id, other))
        return True
    return False


def _replaced(
    thief: Thief, victim: str, change: Callable[[PostedCore], PostedCore], *, aside: bool = False
) -> bool:
    """Says another record in the place of the merchant's next one, which follows properly on the chain."""

    def hook(of: str, to: str, carried: Carried) -> list[bytes] | None:
        message, body = carried.message, carried.message.body
        if (of, to) != (thief.own_id, victim) or not isinstance(body, Posted):
            return None
        core, lane = body.core, message.header.lane
        fresh = core.number == thief.newest_of(victim, lane) + 1
        before = thief.hash_of(victim, lane, core.number - 1)
        request = _request(thief, victim, body)
        if core.kind is RecordKind.CUT or not fresh or before is None or request is None:
            return None
        if thief.spoiled(victim, lane):
            return None
        thief.springs(victim)
        if aside:
            thief.sets_aside(victim, lane)
        else:
            thief.signs_twice(victim, lane)
        other = _body(change(core), before, request.header_bytes)
        draft = Draft(_T.POSTED, lane, message.header.epoch, message.header.exchange_id, other)
        return [with_beside(thief.seal(draft, victim), None)]

    return thief.waits_for(victim, hook)


def _body(core: PostedCore, before: bytes, request: bytes) -> Posted:
    core_bytes = ENCODER.core(core)
    return Posted(core_bytes, core, chain(before, request, core_bytes), 0, b"p" * 16)


def _posted(seen: Seen) -> Posted:
    body = seen.message.body
    assert isinstance(body, Posted), "the caller has looked for one"
    return body


def _newest_record(thief: Thief, victim: str) -> Seen | None:
    """The record that was said last on a lane that is still followed."""
    for seen in thief.said_to(victim, _T.POSTED):
        if not thief.spoiled(victim, seen.message.header.lane) and seen.message.header.exchange_id:
            return seen
    return None


def _request(thief: Thief, victim: str, body: Posted) -> Message | None:
    """The victim's request that a record answers."""
    said = thief.heard_from(victim, _T.ACCRUE, _T.CAPTURE, _T.RETURN)
    return next((one.message for one in said if one.message.hash == body.core.request_hash), None)


def _head(thief: Thief, victim: str, lane: int) -> LaneHead | None:
    """Where a lane stands at the victim."""
    number = thief.newest_of(victim, lane)
    digest, epoch = thief.hash_of(victim, lane, number), thief.epoch_of(victim, lane, home=True)
    return None if digest is None or not epoch else LaneHead(lane, number, digest, epoch)


HISTORIES = (
    Attack("HELLO for a lane that is not there", _R.MISROUTED, names_no_lane),
    Attack("an authorization that nobody asked for", _R.UNKNOWN_EXCHANGE, authorizes_what_nobody_asked),
    Attack("a record that nobody asked for", _R.UNKNOWN_EXCHANGE, posts_what_nobody_asked),
    Attack("a record of an old epoch", _R.WRONG_EPOCH, posts_in_an_old_epoch),
    Attack("a record of another lane", _R.WRONG_EPOCH, posts_for_another_lane),
    Attack("a record withheld", _R.RECORD_MISSING, withholds_a_record),
    Attack("a window that does not exist", _R.WRONG_WINDOW, posts_in_no_window),
)
"""Misuses that leave the lane as it was."""

CONTRADICTIONS = (
    Attack("a wrong window", _R.WRONG_WINDOW, posts_in_a_wrong_window, why="wrong_window"),
    Attack("another amount than asked for", _R.BROKEN_CHAIN, posts_another_amount, why="not_asked"),
    Attack("another newest record", _R.BROKEN_CHAIN, tells_another_newest_record, why="forked"),
    Attack("another old record", _R.BROKEN_CHAIN, tells_another_old_record, why="forked"),
)
"""What sets a lane aside."""
