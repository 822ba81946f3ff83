"""What a hostile partner tries as an acquirer and on the wire: each is refused by name and moves nothing."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from node.coalition.envelopes import Draft
from node.coalition.messages import (
    LANE_UNKNOWN,
    Accrue,
    Authorized,
    Capture,
    ExchangeReason,
    HeadAck,
    Inquire,
    LaneHead,
    MessageType,
    Posted,
    Reserve,
    ReturnAbroad,
    SaleTerms,
)
from node.people.identifiers import IdentifierKind
from node.wire.coalition import Carried, identifier_commitment, proof_commitment
from node.wire.coalition_frames import RecordsWish
from simulators.chaos.hostile_partner import Attack, Seen, Thief, flipped, with_beside, with_signature
from simulators.sim.bazaar import PARTITIONS
from simulators.sim.coalition import OLD_SIGNERS, card

_T, _R = MessageType, ExchangeReason
BEYOND_ANY_CAP = 10_000_000
FRESH_PROOF_MS = 40_000
FLOOD = 200
SALT = b"s" * 16


def _new_id(thief: Thief) -> bytes:
    return thief.chance.randbytes(16)


# --- on the wire ------------------------------------------------------------------------------------------


def forges(thief: Thief, victim: str) -> bool:
    """A signature with one bit changed."""
    seen = next(thief.said_to(victim), None)
    if seen is not None:
        thief.put(victim, with_signature(seen.carried, flipped(seen.message.signature)))
    return seen is not None


def truncates(thief: Thief, victim: str) -> bool:
    """Half of a message; what only travelled beside it may be missing, and the message still holds."""
    seen = next(thief.said_to(victim), None)
    if seen is not None:
        data = with_beside(seen.message, None)
        thief.put(victim, data[: len(data) // 2])
    return seen is not None


def reroutes(thief: Thief, victim: str) -> bool:
    """What was signed for another merchant."""
    seen = next(thief.said_to(thief.third(victim)), None)
    if seen is not None:
        thief.put(victim, with_beside(seen.message, seen.carried))
    return seen is not None


def echoes(thief: Thief, victim: str) -> bool:
    """The victim's own words, back to itself."""
    seen = next(thief.heard_from(victim), None)
    if seen is not None:
        thief.put(victim, with_beside(seen.message, seen.carried))
    return seen is not None


def impersonates(thief: Thief, victim: str) -> bool:
    """In another merchant's name, with one's own key."""
    thief.say(victim, _ack(0, 1), sender=thief.third(victim))
    return True


def is_nobody(thief: Thief, victim: str) -> bool:
    """In the name of somebody whom the directory does not know."""
    thief.say(victim, _ack(0, 1), sender="thief")
    return True


def uses_an_old_key(thief: Thief, victim: str) -> bool:
    """With the key that the merchant had before."""
    thief.say(victim, _ack(0, 1), signer=OLD_SIGNERS[thief.own_id])
    return True


def comes_from_the_future(thief: Thief, victim: str) -> bool:
    """With a time that has not come."""
    thief.say(victim, _ack(0, 1), late_ms=-3_600_000)
    return True


def names_no_lane(thief: Thief, victim: str) -> bool:
    """A lane that the victim does not have."""
    thief.say(victim, _ack(PARTITIONS, 1))
    return True


def reads_the_records_of_others(thief: Thief, victim: str) -> bool:
    """The records of a lane between the two honest merchants."""
    wish = RecordsWish(victim, thief.third(victim), 0, 1)

    async def reads() -> None:
        network = thief.world.network
        read = await network.call(thief.own_id, victim, lambda there: there.lane_records(thief.own_id, wish))
        thief.read += read or ()

    thief.world.outside.spawn(reads())
    return True


def floods(thief: Thief, victim: str) -> bool:
    """Much more at once than one partner is worked on at a time, by stream and by calls."""
    world, kind = thief.world, int(IdentifierKind.CARD)
    value = card(victim, 0)
    body = Inquire(identifier_commitment(SALT, kind, value))
    for _ in range(FLOOD):
        draft = Draft(_T.INQUIRE, LANE_UNKNOWN, 0, _new_id(thief), body)
        message = thief.seal(draft, victim)
        data = with_beside(message, Carried(message, kind, value, None, SALT))
        thief.put(victim, data)
        world.outside.spawn(_call(thief, victim, data))
    return True


async def _call(thief: Thief, victim: str, data: bytes) -> None:
    await thief.world.network.call(
        thief.own_id, victim, lambda exchanging: exchanging.answered(thief.own_id, data)
    )


def _ack(lane: int, epoch: int) -> Draft:
    return Draft(_T.HEAD_ACK, lane, epoch, b"", HeadAck(LaneHead(lane, 0, bytes(32), epoch)))


# --- as an acquirer ---------------------------------------------------------------------------------------


def speaks_in_an_old_epoch(thief: Thief, victim: str) -> bool:
    """A capture for a lane as it was before its last HELLO."""
    heard = thief.heard_from(victim, _T.AUTHORIZED, _T.POSTED)
    answered = next((one for one in heard if one.message.header.exchange_id), None)
    if answered is None:
        return False
    header = answered.message.header
    body = Capture(answered.message.header.body_hash, 1)
    thief.say(victim, Draft(_T.CAPTURE, header.lane, header.epoch - 1, header.exchange_id, body))
    return True


def changes_a_body(thief: Thief, victim: str) -> bool:
    """Another amount under an id that the victim knows."""
    answered = {one.message.header.exchange_id for one in thief.heard_from(victim, _T.AUTHORIZED, _T.POSTED)}
    seen = next(
        (one for one in _reserves(thief, victim) if one[0].message.header.exchange_id in answered), None
    )
    if seen is None:
        return False
    request, body = seen
    changed = replace(body, units=body.units + 1)
    thief.say(victim, _request(request.message.header.exchange_id, changed), request.carried)
    return True


def proves_twice(thief: Thief, victim: str) -> bool:
    """A proof that was good for another spend."""
    answered = {one.message.header.exchange_id for one in thief.heard_from(victim, _T.AUTHORIZED)}
    now_ms = thief.world.clock_ms()
    for request, body in _reserves(thief, victim):
        if request.message.header.exchange_id in answered and now_ms - request.at_ms < FRESH_PROOF_MS:
            thief.say(victim, _request(_new_id(thief), body), request.carried)
            return True
    return False


def raises_the_amount(thief: Thief, victim: str) -> bool:
    """The member agreed to less; the merchant's own request is held back until the proof was tried."""

    def instead(request: Carried, body: Reserve) -> list[bytes]:
        raised = thief.seal(_request(_new_id(thief), replace(body, units=body.units + 1)), victim)
        return [with_beside(raised, request)]

    return _at_next_reserve(thief, victim, instead)


def spends_without_a_proof(thief: Thief, victim: str) -> bool:
    """A code that nobody sent, made up from an answer that was seen."""
    found = next(iter(_reserves(thief, victim)), None)
    if found is None:
        return False
    request, body = found
    proof = request.carried.proof
    assert proof is not None
    assert proof.app_answer is not None
    guessed = replace(proof, app_answer=replace(proof.app_answer, code="0" * 26))
    beside = replace(request.carried, proof=guessed)
    changed = replace(body, proof_commitment=_proof_commitment(beside))
    thief.say(victim, _request(_new_id(thief), changed), beside)
    return True


def asks_late(thief: Thief, victim: str) -> bool:
    """A request that says itself that it is old."""
    found = next(iter(_reserves(thief, victim)), None)
    if found is None:
        return False
    request, body = found
    thief.say(victim, _request(_new_id(thief), body), request.carried, late_ms=3_600_000)
    return True


def asks_about_others_members(thief: Thief, victim: str) -> bool:
    """An earning for a member of somebody else's."""
    _accrues(thief, victim, card(thief.third(victim), 0), 5)
    return True


def passes_the_cap(thief: Thief, victim: str) -> bool:
    """More points than its merchant may owe."""
    _accrues(thief, victim, card(victim, 0), BEYOND_ANY_CAP)
    return True


def captures_more(thief: Thief, victim: str) -> bool:
    """More than was authorised, before the merchant's own capture."""
    return _at_next_authorized(thief, victim, lambda body, hash_: Capture(hash_, body.units + 1))


def captures_another(thief: Thief, victim: str) -> bool:
    """The hold of another authorization."""
    return _at_next_authorized(thief, victim, lambda body, hash_: Capture(flipped(hash_), body.units))


def returns_more(thief: Thief, victim: str) -> bool:
    """More than the victim has posted comes back."""
    seen = next((one for one in thief.heard_from(victim, _T.POSTED) if one.message.header.exchange_id), None)
    if seen is None:
        return False
    posted, header = seen.message.body, seen.message.header
    assert isinstance(posted, Posted)
    core = posted.core
    terms = SaleTerms("main", "till-0", thief.world.clock_ms())
    body = ReturnAbroad(core.exchange_id, core.number, core.units + 1, terms)
    epoch = thief.epoch_of(victim, header.lane, home=False)
    thief.say(victim, Draft(_T.RETURN, header.lane, epoch, _new_id(thief), body))
    return True


def _accrues(thief: Thief, victim: str, value: str, units: int) -> None:
    kind = int(IdentifierKind.CARD)
    terms = SaleTerms("main", "till-0", thief.world.clock_ms())
    body = Accrue(units, terms, 0, 0, b"", identifier_commitment(SALT, kind, value))
    message = thief.seal(Draft(_T.ACCRUE, LANE_UNKNOWN, 0, _new_id(thief), body), victim)
    thief.put(victim, with_beside(message, Carried(message, kind, value, None, SALT)))


def _request(exchange_id: bytes, body: Reserve) -> Draft:
    return Draft(_T.RESERVE, LANE_UNKNOWN, 0, exchange_id, body)


def _reserves(thief: Thief, victim: str) -> list[tuple[Seen, Reserve]]:
    """Requests to hold that passed by, the newest first."""
    seen = thief.said_to(victim, _T.RESERVE)
    return [(one, one.message.body) for one in seen if isinstance(one.message.body, Reserve)]


def _proof_commitment(beside: Carried) -> bytes:
    assert beside.proof is not None
    return proof_commitment(beside.salt, beside.proof)


def _at_next_reserve(thief: Thief, victim: str, instead: Callable[[Carried, Reserve], list[bytes]]) -> bool:
    """Answers when the next request to hold passes by; the merchant's node sends its own again later."""
    return _hooked(thief, victim, Reserve, sender=thief.own_id, act=instead)


def _at_next_authorized(thief: Thief, victim: str, capture: Callable[[Authorized, bytes], Capture]) -> bool:
    def act(answer: Carried, body: Authorized) -> None:
        header = answer.message.header
        draft = Draft(
            _T.CAPTURE, header.lane, header.epoch, header.exchange_id, capture(body, header.body_hash)
        )
        thief.say(victim, draft)

    return _hooked(thief, victim, Authorized, sender=victim, act=act)


def _hooked(thief: Thief, victim: str, kind: type, *, sender: str, act: Callable[..., object]) -> bool:
    """Acts on the next message of a kind from `sender` to the other one of the two."""

    def hook(of: str, to: str, carried: Carried) -> list[bytes] | None:
        if of != sender or {of, to} != {thief.own_id, victim} or not isinstance(carried.message.body, kind):
            return None
        thief.springs(victim)
        instead = act(carried, carried.message.body)
        return instead if isinstance(instead, list) else None

    return thief.waits_for(victim, hook)


SPENDING = (
    Attack("a proof raised in amount", _R.PROOF_REFUSED, raises_the_amount),
    Attack("a capture above the authorization", _R.ABOVE_AUTHORIZED, captures_more),
    Attack("a capture of another authorization", _R.CONFLICT, captures_another),
    Attack("a signature changed by a bit", _R.BAD_SIGNATURE, forges),
    Attack("half of a message", _R.MALFORMED, truncates),
    Attack("a message for somebody else", _R.MISROUTED, reroutes),
    Attack("a message back to its sender", _R.MISROUTED, echoes),
    Attack("in another merchant's name", _R.BAD_SIGNATURE, impersonates),
    Attack("in a stranger's name", _R.NOT_A_PARTNER, is_nobody),
    Attack("an old key", _R.BAD_SIGNATURE, uses_an_old_key),
    Attack("a time that has not come", _R.STALE, comes_from_the_future),
    Attack("a lane that is not there", _R.MISROUTED, names_no_lane),
    Attack("the records of a lane between others", _R.MISROUTED, reads_the_records_of_others),
    Attack("a flood", _R.OVERLOADED, floods),
    Attack("an old epoch", _R.WRONG_EPOCH, speaks_in_an_old_epoch),
    Attack("another body under a known id", _R.CONFLICT, changes_a_body),
    Attack("a proof used twice", _R.PROOF_REFUSED, proves_twice),
    Attack("a proof made up", _R.PROOF_REFUSED, spends_without_a_proof),
    Attack("a request that is old", _R.STALE, asks_late),
    Attack("somebody else's member", _R.NOT_IN_RANGE, asks_about_others_members),
    Attack("more than the cap", _R.CAP_EXCEEDED, passes_the_cap),
    Attack("a return above what was posted", _R.RETURN_EXCEEDS_POSTED, returns_more),
)
"""Misuses that touch no lane."""
