"""Everything that can happen next in the model. Transitions of the exchange are those of
`node.coalition.exchange`.

"""

from __future__ import annotations

from collections.abc import Iterator

from node.coalition.exchange import (
    ACQUIRER,
    HOME,
    AcquirerEvent,
    AcquirerState,
    Effect,
    HomeEvent,
    HomeState,
)
from simulators.model.mishaps import MAY_CAPTURE, Step, mishaps
from simulators.model.state import (
    ACK,
    ASK,
    AUTHORIZED,
    CANCEL,
    CAPTURE,
    HELLO,
    POSTED,
    PROPOSED,
    READY,
    REPLY,
    SHUT,
    VOIDED,
    Acquirer,
    Home,
    Message,
    Rules,
    State,
)
from simulators.model.tidy import tidied

_H, _A = HomeState, AcquirerState
_VOID = (_A.FAILED, _A.CANCELLING)
_OPEN = (_A.NONE, _A.INTENT, _A.QUEUED)


def steps(state: State, rules: Rules) -> Iterator[Step]:
    """All that can happen next."""
    for step in _all(state, rules):
        yield step._replace(state=tidied(step.state, rules))


def _all(state: State, rules: Rules) -> Iterator[Step]:
    yield from _home_alone(state, rules)
    yield from _acquirer_alone(state, rules)
    for message in state.net:
        yield from _home_hears(state, message, rules)
        yield from _acquirer_hears(state, message, rules)
    yield from mishaps(state, rules)


# --- the home node -----------------------------------------------------------------------------------------


def _home_alone(state: State, rules: Rules) -> Iterator[Step]:
    home = state.home
    if home.mem != home.disk or home.out:
        synced = home._replace(disk=home.mem, out=frozenset())
        yield Step("home syncs", state._replace(home=synced, net=state.net | home.out))
    # A HELLO that the acquirer did not ask for in its new life it would not take.
    if home.phase == SHUT and (state.acquirer.heard or not rules.hello_of_this_life or home.asked):
        yield Step("home proposes", _propose(state, rules, home.mem.epoch))
    if rules.hello and not state.acquirer.heard and not home.asked:
        asked = state._replace(home=home._replace(asked=True))
        yield Step("home is asked for HELLO", _propose(asked, rules, home.mem.epoch))
    if home.phase == READY and home.mem.state is _H.RESERVED:  # by its own clock, and nobody is told
        row = HOME[_H.RESERVED, HomeEvent.HOLD_OVER]
        over = home._replace(mem=home.mem._replace(state=_H(row.then)))
        yield Step("home: a hold is over", _say(state, over, rules))
    if rules.neighbour and home.phase == READY and "n" not in home.mem.chain:
        chain = home.mem.chain + "n"
        posted = home._replace(mem=home.mem._replace(chain=chain))
        said = _say(state, posted, rules, (POSTED, home.mem.epoch, chain))
        yield Step("home posts the neighbour", said)


def _propose(state: State, rules: Rules, above: int) -> State:
    """HELLO, for when its epoch is on the disk; without HELLO the lane is simply open."""
    home = state.home
    if not rules.hello:
        return state._replace(home=home._replace(phase=READY), acquirer=state.acquirer._replace(heard=True))
    raised = rules.epoch_at_every_start or home.mem.epoch == 0
    clock = state.top if raised and rules.epoch_above_the_clock else 0
    epoch = max(above, home.mem.epoch, clock) + (1 if raised else 0)
    hello = state.hellos + 1
    mem = home.mem._replace(epoch=epoch)
    opened = home._replace(mem=mem, phase=PROPOSED, hello=hello)
    state = state._replace(hellos=hello, top=max(state.top, epoch))
    return _say(state, opened, rules, (HELLO, epoch, hello, mem.chain, home.asked))


def _say(state: State, home: Home, rules: Rules, *messages: Message) -> State:
    """The home node says something: after the next sync, or at once where that is the shortcut."""
    if rules.home_syncs_first:
        return state._replace(home=home._replace(out=home.out | frozenset(messages)))
    return state._replace(home=home, net=state.net | frozenset(messages))


def _home_hears(state: State, message: Message, rules: Rules) -> Iterator[Step]:
    home, kind = state.home, message[0]
    if kind == REPLY:
        yield from _home_hears_reply(state, message, rules)
        return
    if kind in (CAPTURE, ACK) and rules.hello and rules.epoch_at_every_start:
        epoch = message[1]
        assert isinstance(epoch, int)
        if epoch > home.mem.epoch and home.phase != PROPOSED:
            yield Step("home proposes above", _propose(state, rules, epoch))
            return
    if home.phase != READY or kind not in (ASK, CAPTURE, CANCEL):
        return
    if kind == CAPTURE and rules.fence_to_home and message[1] != home.mem.epoch:
        return
    if kind == CANCEL and not rules.answers_cancel:
        return
    for event in _events(state, kind, rules):
        if not rules.tombstones and home.mem.state is _H.NONE and kind == CANCEL:
            yield Step("home forgets a CANCEL", _say(state, home, rules, (VOIDED, home.mem.epoch)))
            continue
        row = HOME[home.mem.state, event]
        mem = home.mem._replace(state=_H(row.then))
        if Effect.APPEND in row.effects:
            mem = mem._replace(chain=mem.chain + "o", posted=mem.epoch)
        answer: Message = (VOIDED, mem.epoch)
        if mem.state is _H.POSTED:
            answer = (POSTED, mem.epoch, mem.chain[: mem.chain.index("o") + 1])
        elif mem.state is _H.RESERVED:
            answer = (AUTHORIZED, mem.epoch)
        yield Step(f"home: {event}", _say(state, home._replace(mem=mem), rules, answer))


def _events(state: State, kind: object, rules: Rules) -> Iterator[HomeEvent]:
    """What a message may be to the home node: it may decline, and a hold's time may be over."""
    at = state.home.mem.state
    if kind == ASK:
        asked = HomeEvent.ACCRUE if rules.accrual else HomeEvent.RESERVE
        if at is _H.NONE:
            yield HomeEvent.DECLINE
            if state.fresh:
                yield asked
        else:
            yield asked
    else:
        yield HomeEvent.CAPTURE if kind == CAPTURE else HomeEvent.CANCEL
    if at is _H.RESERVED:
        yield HomeEvent.HOLD_OVER


def _home_hears_reply(state: State, message: Message, rules: Rules) -> Iterator[Step]:
    """The rules of `lanes.on_hello_reply`, and then what comes back with a reply."""
    home = state.home
    _, epoch, hello, prior, chain, is_void = message
    assert isinstance(epoch, int)
    assert isinstance(prior, int)
    assert isinstance(chain, str)
    if home.phase != PROPOSED or hello != home.hello:
        return
    if prior >= home.mem.epoch and rules.epoch_at_every_start:
        yield Step("home proposes again", _propose(state, rules, prior))
        return
    if epoch != home.mem.epoch:
        return
    shorter, longer = sorted((chain, home.mem.chain), key=len)
    if not longer.startswith(shorter):
        yield Step("home sees a fork", state._replace(fault="the chains of two honest nodes fork"))
        return
    mem = home.mem
    if len(chain) > len(mem.chain):
        if "o" in chain and "o" not in mem.chain:
            mem = mem._replace(state=_H(HOME[mem.state, HomeEvent.IMPORT_POSTED].then), posted=mem.epoch)
        mem = mem._replace(chain=chain, epoch=mem.epoch + (0 if rules.epoch_at_every_start else 1))
    if is_void:
        mem = mem._replace(state=_H(HOME[mem.state, HomeEvent.IMPORT_VOIDED].then))
    missing = [mem.chain[:at] for at in range(len(chain) + 1, len(mem.chain) + 1)]
    words = [(POSTED, mem.epoch, record) for record in missing]
    yield Step("home opens the lane", _say(state, home._replace(mem=mem, phase=READY), rules, *words))


# --- the acquirer ------------------------------------------------------------------------------------------


def _acquirer_alone(state: State, rules: Rules) -> Iterator[Step]:
    own = state.acquirer
    if own.mem != own.disk or own.out:
        synced = own._replace(disk=own.mem, out=frozenset())
        yield Step("acquirer syncs", state._replace(acquirer=synced, net=state.net | own.out))
    begins = AcquirerEvent.EARN if rules.accrual else AcquirerEvent.SPEND
    for event in (begins, AcquirerEvent.CAPTURE, AcquirerEvent.CANCEL, AcquirerEvent.GIVE_UP):
        row = ACQUIRER.get((own.mem.state, event))
        if event is AcquirerEvent.GIVE_UP and rules.waits_before_giving_up and not _caught_up(own):
            continue
        if event is AcquirerEvent.CANCEL and state.goods:
            continue  # a till that has handed goods over does not take that back
        if event is begins and state.let_go:
            continue  # and one that has let its spend go does not begin it anew
        if event is AcquirerEvent.CAPTURE and state.let_go and not _captures_by_itself(own, rules):
            continue
        if row is not None and row.then != own.mem.state:
            mem = own.mem._replace(state=_A(row.then), from_backup=_is_kept(own, row.then, event))
            yield Step(f"till: {event}", state._replace(acquirer=own._replace(mem=mem)))
    if own.mem.state is _A.CAPTURING and _lets_go(own, rules) and _caught_up(own):
        mem = own.mem._replace(state=_A.CANCELLING, from_backup=False)
        yield Step("acquirer lets a capture go", state._replace(acquirer=own._replace(mem=mem)))
    yield from _acquirer_sends(state, rules)
    if state.fresh and own.mem.state not in _OPEN and own.disk.state not in _OPEN:
        yield Step("time passes", state._replace(fresh=False))
    if not state.goods and _hands_over(own, rules):
        yield Step("goods", state._replace(goods=True))


def _lets_go(own: Acquirer, rules: Rules) -> bool:
    """Whether a CAPTURE that a backup knows of is not sent again: a till may have let it go since."""
    return own.mem.from_backup and rules.sends_no_capture_from_backup


def _captures_by_itself(own: Acquirer, rules: Rules) -> bool:
    """Whether the acquirer, asked for a spend in one step, captures what a backup says is authorised."""
    return own.mem.from_backup and not rules.captures_nothing_from_backup


def _is_kept(own: Acquirer, then: int, event: AcquirerEvent) -> bool:
    """Whether an exchange remains as the backup had it, after what a till or the acquirer has done."""
    return own.mem.from_backup and event is not AcquirerEvent.CAPTURE and _A(then) in MAY_CAPTURE


def _caught_up(own: Acquirer) -> bool:
    """Whether the acquirer has heard HELLO in this life, and has the records that it told of."""
    return own.heard and len(own.mem.chain) >= own.mem.home_number


def _acquirer_sends(state: State, rules: Rules) -> Iterator[Step]:
    """What the state sends until it is answered; only what is on the disk is sent."""
    own = state.acquirer
    synced = own.mem == own.disk or not rules.acquirer_syncs_first
    if not synced:
        return
    at = own.mem.state
    if at in (_A.INTENT, _A.QUEUED):
        yield Step("acquirer asks", state._replace(net=state.net | {(ASK,)}, fresh=True))
    if at is _A.CAPTURING and own.heard and not _lets_go(own, rules):
        fault = "a spend that a till had let go is captured" if state.let_go else ""
        sent = state._replace(net=state.net | {(CAPTURE, own.mem.epoch)}, fault=fault)
        yield Step("acquirer captures", sent)
    if own.heard and own.mem.epoch > state.home.mem.epoch:  # else it would change nothing
        yield Step("acquirer acknowledges", state._replace(net=state.net | {(ACK, own.mem.epoch)}))
    if at is _A.CANCELLING:
        yield Step("acquirer cancels", state._replace(net=state.net | {(CANCEL,)}))


def _hands_over(own: Acquirer, rules: Rules) -> bool:
    """Goods go on what is on the disk."""
    if own.disk.state is _A.DONE:
        return not own.disk.returned
    if not rules.goods_on_posted_only and own.disk.state is _A.AUTHORIZED:
        return True
    return rules.goods_after_capture and own.disk.state is _A.CAPTURING


_ANSWERS = {AUTHORIZED: AcquirerEvent.AUTHORIZED, VOIDED: AcquirerEvent.VOIDED, POSTED: AcquirerEvent.POSTED}


def _acquirer_hears(state: State, message: Message, rules: Rules) -> Iterator[Step]:
    own, kind = state.acquirer, message[0]
    if kind == HELLO:
        if own.heard or message[4] or not rules.hello_of_this_life:
            yield Step("acquirer greets", _greet(state, message, rules))
        return
    if not own.heard:
        return
    event = _ANSWERS.get(str(kind))
    if event is None or (rules.fence_to_acquirer and message[1] != own.mem.epoch):
        return
    mem = own.mem
    if event is AcquirerEvent.POSTED:
        chain = str(message[2])
        if len(chain) <= len(mem.chain) or (rules.no_gaps and chain[:-1] != mem.chain):
            return
        mem = mem._replace(chain=mem.chain + chain[-1])
        if chain[-1] != "o":
            yield Step("acquirer follows", state._replace(acquirer=own._replace(mem=mem)))
            return
    row = ACQUIRER.get((mem.state, event))
    if row is None:
        yield Step("acquirer disputes", state._replace(fault="an honest home node contradicts itself"))
        return
    then = _A(row.then)
    if (
        event is AcquirerEvent.POSTED
        and mem.state is _A.CANCELLING
        and not rules.posted_counts_while_cancelling
    ):
        then = _A.FAILED
    if then is _A.FAILED and mem.state is not _A.FAILED:
        mem = mem._replace(voided=int(str(message[1])))
    mem = mem._replace(returned=mem.returned or (then is _A.DONE and Effect.RETURN_ALL in row.effects))
    mem = mem._replace(from_backup=mem.from_backup and then in MAY_CAPTURE)
    heard = own._replace(mem=mem._replace(state=then))
    if heard != own:
        yield Step(f"acquirer: {event}", state._replace(acquirer=heard))


def _greet(state: State, message: Message, rules: Rules) -> State:
    """The rules of `lanes.on_hello`; the reply shows what is on the disk by the time that it is said."""
    own, (_, epoch, hello, theirs, _) = state.acquirer, message
    assert isinstance(theirs, str)
    assert isinstance(epoch, int)
    assert isinstance(hello, int)
    mem = own.mem
    prior = mem.epoch
    if epoch == mem.epoch and hello == mem.hello:
        prior = mem.prior
    elif epoch > mem.epoch:
        mem = mem._replace(epoch=epoch, prior=mem.epoch, hello=hello, home_number=len(theirs))
    elif not rules.epoch_at_every_start and epoch == mem.epoch:
        prior = epoch - 1
    shown = mem if rules.hello_syncs_first else own.disk
    is_void = rules.hello_tells_void and state.fresh and shown.state in _VOID
    reply = (REPLY, epoch, hello, prior, shown.chain, is_void)
    own = own._replace(mem=mem, heard=own.heard or prior < epoch)
    if rules.hello_syncs_first:
        return state._replace(acquirer=own._replace(out=own.out | {reply}))
    return state._replace(acquirer=own, net=state.net | {reply})
