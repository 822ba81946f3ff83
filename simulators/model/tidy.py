"""Less in each state, so that fewer have to be visited, and nothing that could happen is lost."""

from __future__ import annotations

from node.coalition.exchange import ENDED, AcquirerState
from simulators.model.state import (
    ACK,
    ASK,
    AUTHORIZED,
    CANCEL,
    CAPTURE,
    HELLO,
    POSTED,
    REPLY,
    VOIDED,
    AcquirerDisk,
    HomeDisk,
    Message,
    Rules,
    State,
)


def tidied(state: State, rules: Rules) -> State:
    """The same state with less in it, so that fewer have to be visited. Nothing that could happen is lost:

    - A node that syncs before it says anything is synced at once: a crash in between is one before the
    step, or one
      whose answer was lost. Nodes that take a shortcut there are looked at sync by sync.
    - Messages that nobody will take any more are dropped, and so are disks to which nobody can be restored.
    - HELLOs and epochs are numbered anew: which is which and which is higher counts, not how many there were.
    """
    home, own, left = state.home, state.acquirer, state.faults
    net = state.net
    if rules.home_syncs_first:
        net, home = net | home.out, home._replace(disk=home.mem, out=frozenset())
    if rules.acquirer_syncs_first and rules.hello_syncs_first:
        net, own = net | own.out, own._replace(disk=own.mem, out=frozenset())
    if own.heard:
        home = home._replace(asked=False)
        net = frozenset((*message[:4], False) if message[0] == HELLO else message for message in net)
    state = state._replace(
        home=home,
        acquirer=own,
        net=frozenset(message for message in net if _can_matter(message, state, rules)),
        home_past=state.home_past | {home.disk} if left.home_rollbacks else frozenset(),
        acquirer_past=state.acquirer_past | {own.disk} if left.acquirer_rollbacks else frozenset(),
    )
    state = state._replace(let_go=_is_let_go(state, rules))
    state = _renumbered(state)
    return _with_epochs_anew(state) if rules.epoch_at_every_start else state


def _is_let_go(state: State, rules: Rules) -> bool:
    """Whether a till has let its spend go: kept as long as the acquirer has lost that, or may lose it."""
    own = state.acquirer
    told = own.disk.state is AcquirerState.CANCELLING and not rules.accrual
    known = own.mem.state is AcquirerState.CANCELLING or own.mem.state in ENDED
    return (state.let_go or told) and (bool(state.faults.acquirer_rollbacks) or not known)


def _with_epochs_anew(state: State) -> State:
    """Epochs numbered from 1 without gaps, in their order; 0 is none. `top` is the highest that anybody still
    has: the clock stands above the others, too.
    """
    home, own = state.home, state.acquirer
    homes, disks = (home.mem, home.disk, *state.home_past), (own.mem, own.disk, *state.acquirer_past)
    said = (*state.net, *home.out, *own.out)
    used = {0}
    for at in homes:
        used |= {at.epoch, at.posted}
    for disk in disks:
        used |= {disk.epoch, disk.prior, disk.voided}
    for message in said:
        used.update(int(str(message[at])) for at in _EPOCHS[message[0]])
    if len(used) == state.top + 1:
        return state
    new = {old: at for at, old in enumerate(sorted(used))}

    def at_home(one: HomeDisk) -> HomeDisk:
        return one._replace(epoch=new[one.epoch], posted=new[one.posted])

    def at_acquirer(one: AcquirerDisk) -> AcquirerDisk:
        return one._replace(epoch=new[one.epoch], prior=new[one.prior], voided=new[one.voided])

    def messages(some: frozenset[Message]) -> frozenset[Message]:
        return frozenset(
            tuple(new[int(str(part))] if at in _EPOCHS[one[0]] else part for at, part in enumerate(one))
            for one in some
        )

    return state._replace(
        home=home._replace(mem=at_home(home.mem), disk=at_home(home.disk), out=messages(home.out)),
        acquirer=own._replace(mem=at_acquirer(own.mem), disk=at_acquirer(own.disk), out=messages(own.out)),
        net=messages(state.net),
        home_past=frozenset(map(at_home, state.home_past)),
        acquirer_past=frozenset(map(at_acquirer, state.acquirer_past)),
        top=len(used) - 1,
    )


_EPOCHS: dict[object, tuple[int, ...]] = {
    ASK: (), CANCEL: (), CAPTURE: (1,), ACK: (1,), AUTHORIZED: (1,), VOIDED: (1,), POSTED: (1,),
    HELLO: (1,), REPLY: (1, 3),
}  # fmt: skip
"""Where in a message epochs stand."""


def _renumbered(state: State) -> State:
    """HELLOs numbered from 1 without gaps, in their order; 0 is none."""
    home, own = state.home, state.acquirer
    disks = (own.mem, own.disk, *state.acquirer_past)
    said = (*state.net, *home.out, *own.out)
    used = {0, home.hello, *(disk.hello for disk in disks), *(_hello_of(message) for message in said)}
    if len(used) == state.hellos + 1:
        return state
    new = {old: at for at, old in enumerate(sorted(used))}

    def disk(one: AcquirerDisk) -> AcquirerDisk:
        return one._replace(hello=new[one.hello])

    def messages(some: frozenset[Message]) -> frozenset[Message]:
        return frozenset((*one[:2], new[_hello_of(one)], *one[3:]) if _hello_of(one) else one for one in some)

    return state._replace(
        home=home._replace(hello=new[home.hello], out=messages(home.out)),
        acquirer=own._replace(mem=disk(own.mem), disk=disk(own.disk), out=messages(own.out)),
        net=messages(state.net),
        acquirer_past=frozenset(map(disk, state.acquirer_past)),
        hellos=len(used) - 1,
    )


def _hello_of(message: Message) -> int:
    """The number of the HELLO that a message is, or answers."""
    return int(str(message[2])) if message[0] in (HELLO, REPLY) else 0


def _can_matter(message: Message, state: State, rules: Rules) -> bool:
    kind, home, own, left = message[0], state.home, state.acquirer, state.faults
    if kind == REPLY:
        return message[2] == home.hello
    if kind in (ASK, CANCEL):
        return True
    epoch = message[1]
    assert isinstance(epoch, int)
    if kind == CAPTURE:
        return not rules.fence_to_home or bool(left.home_rollbacks) or epoch >= home.mem.epoch
    if kind == HELLO:
        return message[2] == home.hello or bool(left.acquirer_rollbacks) or epoch > own.mem.epoch
    return not rules.fence_to_acquirer or bool(left.acquirer_rollbacks) or epoch >= own.mem.epoch
