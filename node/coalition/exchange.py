"""The exchange as a state machine, for both sides, with its transitions as data.

One exchange is one redemption, accrual or return of a member of the home node's at the acquirer's till.
Everything that affects a transition stands in this file: `HOME` and `ACQUIRER` say for a state and an event
what comes next, what is done in the same batch, and what is said. `home.py` and `acquirer.py` judge a
message and then obey the row; the documentation and the model check are drawn from these tables.

The home node decides. Its states change in its durable log alone, and only its clock ends a hold. The
acquirer hands goods over in DONE and in no other state.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

from msgspec import Struct

from node.coalition.messages import ExchangeReason, MessageType


class ExchangeKind(IntEnum):
    """What an exchange is for. Stored; never renumber."""

    REDEMPTION = 1
    ACCRUAL = 2
    RETURN = 3


class HomeState(IntEnum):
    """Where an exchange stands at the home node. Stored; never renumber."""

    NONE = 0
    RESERVED = 1
    POSTED = 2
    VOIDED = 3


class AcquirerState(IntEnum):
    """Where an exchange stands at the acquirer. Stored; never renumber."""

    NONE = 0
    INTENT = 1
    """A redemption; RESERVE is sent until it is answered."""
    AUTHORIZED = 2
    CAPTURING = 3
    """CAPTURE is sent until it is answered, for ever."""
    CANCELLING = 4
    """CANCEL is sent until it is answered, for ever."""
    QUEUED = 5
    """An accrual or a return; it is sent until it is answered, for ever."""
    DONE = 6
    FAILED = 7


class HomeEvent(StrEnum):
    """What can happen to an exchange at the home node: a message that was judged, or something of its own."""

    RESERVE = "reserve"
    ACCRUE = "accrue"
    RETURN = "return"
    DECLINE = "decline"
    """RESERVE, ACCRUE or RETURN that the home node will not do."""
    CAPTURE = "capture"
    CANCEL = "cancel"
    QUERY = "query"
    HOLD_OVER = "hold_over"
    """CAPTURE, CANCEL or QUERY that finds the hold's time over by the home node's clock."""
    IMPORT_POSTED = "import_posted"
    """The acquirer has a POSTED of ours that we have lost."""
    IMPORT_VOIDED = "import_voided"
    """The acquirer has let the exchange go, and we may have lost that."""


class AcquirerEvent(StrEnum):
    """What can happen to an exchange at the acquirer: a till, time, or a message of the home node's."""

    SPEND = "spend"
    EARN = "earn"
    GIVE_BACK = "give_back"
    CAPTURE = "capture"
    CANCEL = "cancel"
    """A till voids or reverses."""
    GIVE_UP = "give_up"
    """Time is over: for a RESERVE that nobody answered, or a hold that nobody captured."""
    AUTHORIZED = "authorized"
    DECLINED = "declined"
    POSTED = "posted"
    VOIDED = "voided"
    CONFLICT = "conflict"
    """The home node knows the id with another body; nothing of this one is there."""
    REFUSED = "refused"
    """The home node will never take this message, whoever repeats it; see HOPELESS."""


class Effect(StrEnum):
    """What is done in the batch of a transition."""

    HOLD = "hold"
    """Reserve the units on the account, consume the proof, count them against the lease."""
    SPEND = "spend"
    """Capture the hold towards `payable:<acquirer>`; the rest goes back to the member."""
    RELEASE = "release"
    """Give the whole hold back."""
    CREDIT = "credit"
    """Credit the account from `receivable:<acquirer>`."""
    UNDO = "undo"
    """Take back or give back what the original moved."""
    IMPORT = "import"
    """Move what the imported record says, below zero if need be."""
    APPEND = "append"
    """Append the record to the lane's chain and move the position."""
    SEND = "send"
    """Sign and send the state's request, and again until it is answered."""
    RETURN_ALL = "return_all"
    """Begin a return of everything that was posted."""
    FORGET = "forget"
    """Drop identifier, proof and salt."""


class Row(Struct, frozen=True):
    """One transition. `says` is the home node's reply, or the request that the acquirer's new state sends."""

    then: int
    effects: tuple[Effect, ...] = ()
    says: MessageType | None = None


_H, _E, _X, _M = HomeState, HomeEvent, Effect, MessageType

HOME: dict[tuple[HomeState, HomeEvent], Row] = {
    (_H.NONE, _E.RESERVE): Row(_H.RESERVED, (_X.HOLD,), _M.AUTHORIZED),
    (_H.NONE, _E.ACCRUE): Row(_H.POSTED, (_X.CREDIT, _X.APPEND), _M.POSTED),
    (_H.NONE, _E.RETURN): Row(_H.POSTED, (_X.UNDO, _X.APPEND), _M.POSTED),
    (_H.NONE, _E.DECLINE): Row(_H.VOIDED, (), _M.DECLINED),
    # Tombstones: whatever of this id still arrives is void.
    (_H.NONE, _E.CAPTURE): Row(_H.VOIDED, (), _M.VOIDED),
    (_H.NONE, _E.CANCEL): Row(_H.VOIDED, (), _M.VOIDED),
    (_H.NONE, _E.QUERY): Row(_H.VOIDED, (), _M.VOIDED),
    (_H.NONE, _E.IMPORT_POSTED): Row(_H.POSTED, (_X.IMPORT, _X.APPEND)),
    (_H.NONE, _E.IMPORT_VOIDED): Row(_H.VOIDED),
    (_H.RESERVED, _E.RESERVE): Row(_H.RESERVED, (), _M.AUTHORIZED),
    (_H.RESERVED, _E.CAPTURE): Row(_H.POSTED, (_X.SPEND, _X.APPEND), _M.POSTED),
    (_H.RESERVED, _E.CANCEL): Row(_H.VOIDED, (_X.RELEASE,), _M.VOIDED),
    (_H.RESERVED, _E.QUERY): Row(_H.RESERVED, (), _M.AUTHORIZED),
    (_H.RESERVED, _E.HOLD_OVER): Row(_H.VOIDED, (_X.RELEASE,), _M.VOIDED),
    (_H.RESERVED, _E.IMPORT_POSTED): Row(_H.POSTED, (_X.RELEASE, _X.IMPORT, _X.APPEND)),
    (_H.RESERVED, _E.IMPORT_VOIDED): Row(_H.VOIDED, (_X.RELEASE,)),
    # What was said last is said again, and nothing else happens.
    (_H.POSTED, _E.RESERVE): Row(_H.POSTED, (), _M.POSTED),
    (_H.POSTED, _E.ACCRUE): Row(_H.POSTED, (), _M.POSTED),
    (_H.POSTED, _E.RETURN): Row(_H.POSTED, (), _M.POSTED),
    (_H.POSTED, _E.CAPTURE): Row(_H.POSTED, (), _M.POSTED),
    (_H.POSTED, _E.CANCEL): Row(_H.POSTED, (), _M.POSTED),
    (_H.POSTED, _E.QUERY): Row(_H.POSTED, (), _M.POSTED),
    (_H.POSTED, _E.IMPORT_POSTED): Row(_H.POSTED),
    # A wish to let go that comes too late: POSTED stands, and the acquirer gives back by a return.
    (_H.POSTED, _E.IMPORT_VOIDED): Row(_H.POSTED),
    # DECLINED or VOIDED, whichever it was.
    (_H.VOIDED, _E.RESERVE): Row(_H.VOIDED, (), _M.VOIDED),
    (_H.VOIDED, _E.ACCRUE): Row(_H.VOIDED, (), _M.VOIDED),
    (_H.VOIDED, _E.RETURN): Row(_H.VOIDED, (), _M.VOIDED),
    (_H.VOIDED, _E.CAPTURE): Row(_H.VOIDED, (), _M.VOIDED),
    (_H.VOIDED, _E.CANCEL): Row(_H.VOIDED, (), _M.VOIDED),
    (_H.VOIDED, _E.QUERY): Row(_H.VOIDED, (), _M.VOIDED),
    # A rolled-back node let the hold go before it heard of its own POSTED: what it signed, it owes.
    (_H.VOIDED, _E.IMPORT_POSTED): Row(_H.POSTED, (_X.IMPORT, _X.APPEND)),
    (_H.VOIDED, _E.IMPORT_VOIDED): Row(_H.VOIDED),
}
"""The home node. A message that is refused (see `home.py`) changes nothing and has no row."""

_S, _V = AcquirerState, AcquirerEvent
_DONE = Row(_S.DONE, (_X.APPEND, _X.FORGET))
_FAILED = Row(_S.FAILED, (_X.FORGET,))
_RESERVING = Row(_S.INTENT, (_X.SEND,), _M.RESERVE)
_CAPTURING = Row(_S.CAPTURING, (_X.SEND,), _M.CAPTURE)
_CANCELLING = Row(_S.CANCELLING, (_X.SEND,), _M.CANCEL)

ACQUIRER: dict[tuple[AcquirerState, AcquirerEvent], Row] = {
    (_S.NONE, _V.SPEND): _RESERVING,
    (_S.NONE, _V.EARN): Row(_S.QUEUED, (_X.SEND,), _M.ACCRUE),
    (_S.NONE, _V.GIVE_BACK): Row(_S.QUEUED, (_X.SEND,), _M.RETURN),
    # A till that reverses what we do not know of (any more): the home node may.
    (_S.NONE, _V.CANCEL): _CANCELLING,
    # A restored acquirer: the record stands, whatever was forgotten.
    (_S.NONE, _V.POSTED): _DONE,
    (_S.NONE, _V.AUTHORIZED): Row(_S.NONE),
    (_S.NONE, _V.DECLINED): Row(_S.NONE),
    (_S.NONE, _V.VOIDED): Row(_S.NONE),
    (_S.NONE, _V.CONFLICT): Row(_S.NONE),
    (_S.NONE, _V.REFUSED): Row(_S.NONE),
    (_S.INTENT, _V.SPEND): Row(_S.INTENT),
    (_S.INTENT, _V.AUTHORIZED): Row(_S.AUTHORIZED),
    (_S.INTENT, _V.DECLINED): _FAILED,
    (_S.INTENT, _V.VOIDED): _FAILED,
    (_S.INTENT, _V.CONFLICT): _FAILED,
    (_S.INTENT, _V.POSTED): _DONE,
    (_S.INTENT, _V.CANCEL): _CANCELLING,
    (_S.INTENT, _V.GIVE_UP): _CANCELLING,
    (_S.INTENT, _V.REFUSED): _CANCELLING,
    (_S.AUTHORIZED, _V.SPEND): Row(_S.AUTHORIZED),
    (_S.AUTHORIZED, _V.AUTHORIZED): Row(_S.AUTHORIZED),
    (_S.AUTHORIZED, _V.CAPTURE): _CAPTURING,
    (_S.AUTHORIZED, _V.CANCEL): _CANCELLING,
    (_S.AUTHORIZED, _V.GIVE_UP): _CANCELLING,
    (_S.AUTHORIZED, _V.DECLINED): _FAILED,
    (_S.AUTHORIZED, _V.VOIDED): _FAILED,
    (_S.AUTHORIZED, _V.POSTED): _DONE,
    (_S.AUTHORIZED, _V.CONFLICT): Row(_S.AUTHORIZED),
    (_S.AUTHORIZED, _V.REFUSED): Row(_S.AUTHORIZED),
    # No GIVE_UP: a capture that timed out is unknown, never failed.
    (_S.CAPTURING, _V.SPEND): Row(_S.CAPTURING),
    (_S.CAPTURING, _V.AUTHORIZED): Row(_S.CAPTURING),
    (_S.CAPTURING, _V.CAPTURE): Row(_S.CAPTURING),
    (_S.CAPTURING, _V.CANCEL): _CANCELLING,
    (_S.CAPTURING, _V.DECLINED): _FAILED,
    (_S.CAPTURING, _V.VOIDED): _FAILED,
    (_S.CAPTURING, _V.POSTED): _DONE,
    (_S.CAPTURING, _V.CONFLICT): _CANCELLING,
    (_S.CAPTURING, _V.REFUSED): _CANCELLING,
    (_S.CANCELLING, _V.SPEND): Row(_S.CANCELLING),
    (_S.CANCELLING, _V.EARN): Row(_S.CANCELLING),
    (_S.CANCELLING, _V.GIVE_BACK): Row(_S.CANCELLING),
    (_S.CANCELLING, _V.AUTHORIZED): Row(_S.CANCELLING),
    (_S.CANCELLING, _V.CANCEL): Row(_S.CANCELLING),
    (_S.CANCELLING, _V.DECLINED): _FAILED,
    (_S.CANCELLING, _V.VOIDED): _FAILED,
    (_S.CANCELLING, _V.CONFLICT): _FAILED,
    (_S.CANCELLING, _V.REFUSED): Row(_S.CANCELLING),
    # Too late to let go: it is done, and given back.
    (_S.CANCELLING, _V.POSTED): Row(_S.DONE, (_X.APPEND, _X.FORGET, _X.RETURN_ALL)),
    (_S.QUEUED, _V.EARN): Row(_S.QUEUED),
    (_S.QUEUED, _V.GIVE_BACK): Row(_S.QUEUED),
    (_S.QUEUED, _V.CANCEL): _CANCELLING,
    (_S.QUEUED, _V.DECLINED): _FAILED,
    (_S.QUEUED, _V.VOIDED): _FAILED,
    (_S.QUEUED, _V.CONFLICT): _FAILED,
    (_S.QUEUED, _V.REFUSED): _CANCELLING,
    (_S.QUEUED, _V.POSTED): _DONE,
    # Ended: the till hears the same answer again.
    **{(_S.DONE, event): Row(_S.DONE) for event in AcquirerEvent},
    **{(_S.FAILED, event): Row(_S.FAILED) for event in AcquirerEvent},
    # A home node that was put back onto a disk on which it had posted: the record stands, and is given back.
    (_S.FAILED, _V.POSTED): Row(_S.DONE, (_X.APPEND, _X.FORGET, _X.RETURN_ALL)),
}
"""The acquirer. POSTED after DONE moves nothing here: a second record of one exchange is a dispute."""

RESENT: dict[AcquirerState, tuple[MessageType, ...]] = {
    AcquirerState.INTENT: (MessageType.RESERVE,),
    AcquirerState.CAPTURING: (MessageType.CAPTURE,),
    AcquirerState.CANCELLING: (MessageType.CANCEL,),
    AcquirerState.QUEUED: (MessageType.ACCRUE, MessageType.RETURN),
}
"""In which states something is sent until it is answered, and what. The others wait, or have ended."""

HOPELESS = frozenset({
    ExchangeReason.ABOVE_AUTHORIZED, ExchangeReason.MALFORMED, ExchangeReason.MISROUTED,
    ExchangeReason.NOT_IN_RANGE, ExchangeReason.PROOF_REFUSED, ExchangeReason.UNKNOWN_EXCHANGE,
})  # fmt: skip
"""Refusals after which repeating is no use: the exchange is cancelled. After any other it is repeated."""

ENDED = frozenset({AcquirerState.DONE, AcquirerState.FAILED})
"""Where an exchange ends at the acquirer."""

GOODS = frozenset({AcquirerState.DONE})
"""Where goods are handed over, once it is durable."""


def home_row(state: HomeState, event: HomeEvent) -> Row:
    """The home node's transition; KeyError for an event that cannot happen in that state, a fault."""
    return HOME[state, event]


def acquirer_row(state: AcquirerState, event: AcquirerEvent) -> Row | None:
    """The acquirer's transition, or None for an event that an honest peer cannot cause in that state."""
    return ACQUIRER.get((state, event))
