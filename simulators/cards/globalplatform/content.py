"""What is on the card and in which state: INSTALL, DELETE, GET STATUS, SET STATUS (GlobalPlatform 11)."""

from __future__ import annotations

from enum import IntEnum

from simulators.cards.card import Answer
from simulators.cards.globalplatform import keys, tlv
from simulators.cards.globalplatform.memory import (
    MODULE_AID,
    PACKAGE_AID,
    ApplicationState,
    GlobalPlatformMemory,
    Instance,
    LifeCycle,
)
from simulators.cards.status import (
    CONDITIONS_NOT_SATISFIED,
    FUNCTION_NOT_SUPPORTED,
    NO_SUCH_DATA_IN_COMMAND,
    REFERENCE_NOT_FOUND,
    WARNING_MORE_DATA,
    WRONG_P1_P2,
    Status,
)


class Scope(IntEnum):
    """P1 of GET STATUS and SET STATUS: what it is about."""

    CARD = 0x80
    APPLICATIONS = 0x40
    FILES = 0x20
    FILES_AND_MODULES = 0x10


FOR_INSTALL, FOR_SELECTION, FOR_PERSONALISATION = 0x04, 0x08, 0x20
_AID, _KEY_VERSION, _KEY_IDENTIFIER = 0x4F, 0xD2, 0xD0
_ISD_PRIVILEGES = bytes.fromhex("9EFE80")
_NEXT, _TAGGED = 0x01, 0x02
_LOADED = 0x01
_PAGE_BYTES = 220
"""What GET STATUS answers at once, so that encryption and MAC still fit a short answer."""
_NOTHING = b"\0"
"""The empty confirmation that these commands end with."""


def install(memory: GlobalPlatformMemory, p1: int, data: bytes) -> tuple[bytes, str | None]:
    """INSTALL; the answer, and the instance that STORE DATA shall personalise from now on, if any.

    Loading is not supported (6A81). An instance that is there already, 6985; an unknown module, 6A88.
    """
    if p1 & ~(FOR_INSTALL | FOR_SELECTION | FOR_PERSONALISATION) or not p1:
        raise Status(FUNCTION_NOT_SUPPORTED)
    fields = tlv.values(data)
    if p1 == FOR_PERSONALISATION:
        return _NOTHING, _personalised(memory, fields)
    if p1 & FOR_PERSONALISATION:
        raise Status(WRONG_P1_P2)
    if len(fields) < 5:
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    package, module, aid, privileges = fields[:4]
    if not p1 & FOR_INSTALL:
        _selectable(memory, aid)
        return _NOTHING, None
    if (package, module) != (PACKAGE_AID, MODULE_AID):
        raise Status(REFERENCE_NOT_FOUND)
    if not 5 <= len(aid) <= 16 or not 1 <= len(privileges) <= 3:
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    if aid.hex() in memory.instances or aid == memory.aid:
        raise Status(CONDITIONS_NOT_SATISFIED)
    state = ApplicationState.SELECTABLE if p1 & FOR_SELECTION else ApplicationState.INSTALLED
    memory.instances[aid.hex()] = Instance(module, privileges.ljust(3, b"\0"), state)
    return _NOTHING, None


def _selectable(memory: GlobalPlatformMemory, aid: bytes) -> None:
    instance = _instance(memory, aid)
    if instance.state != ApplicationState.INSTALLED:
        raise Status(CONDITIONS_NOT_SATISFIED)
    instance.state = ApplicationState.SELECTABLE


def _personalised(memory: GlobalPlatformMemory, fields: list[bytes]) -> str:
    if len(fields) != 6 or any(fields[place] for place in (0, 1, 3, 4, 5)):
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    _instance(memory, fields[2])
    return fields[2].hex()


def _instance(memory: GlobalPlatformMemory, aid: bytes) -> Instance:
    if (instance := memory.instances.get(aid.hex())) is None:
        raise Status(REFERENCE_NOT_FOUND)
    return instance


def delete(memory: GlobalPlatformMemory, data: bytes) -> bytes:
    """DELETE of an instance, or of a key set. What is in ROM, and the domain itself, stay: 6985."""
    named = dict(tlv.objects(data))
    if _KEY_VERSION in named:
        if named.get(_KEY_IDENTIFIER) or len(named[_KEY_VERSION]) != 1:
            raise Status(NO_SUCH_DATA_IN_COMMAND)
        keys.delete(memory, named[_KEY_VERSION][0])
        return _NOTHING
    if (aid := named.get(_AID)) is None:
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    if aid in (memory.aid, PACKAGE_AID):
        raise Status(CONDITIONS_NOT_SATISFIED)
    _instance(memory, aid)
    del memory.instances[aid.hex()]
    return _NOTHING


class Listing:
    """GET STATUS, which may take several commands for one list."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def show(self, memory: GlobalPlatformMemory, p1: int, p2: int, data: bytes) -> Answer:
        """One page; 6310 when there is more, 6A88 when nothing fits the search."""
        if p2 & ~(_NEXT | _TAGGED):
            raise Status(WRONG_P1_P2)
        if not p2 & _NEXT:
            searched = dict(tlv.objects(data))
            if set(searched) != {_AID}:
                raise Status(NO_SUCH_DATA_IN_COMMAND)
            self._rest = [
                _tagged(*entry) if p2 & _TAGGED else _plain(*entry)
                for entry in _entries(memory, p1)
                if entry[0].startswith(searched[_AID])
            ]
        if not self._rest:
            raise Status(REFERENCE_NOT_FOUND)
        page = b""
        while self._rest and len(page) + len(self._rest[0]) <= _PAGE_BYTES:
            page += self._rest.pop(0)
        return Answer(page, WARNING_MORE_DATA if self._rest else 0x9000)


_Entry = tuple[bytes, int, bytes, list[bytes]]


def _entries(memory: GlobalPlatformMemory, p1: int) -> list[_Entry]:
    match p1:
        case Scope.CARD:
            return [(memory.aid, memory.life_cycle, _ISD_PRIVILEGES, [])]
        case Scope.APPLICATIONS:
            return [
                (bytes.fromhex(aid), instance.state, instance.privileges, [])
                for aid, instance in memory.instances.items()
            ]
        case Scope.FILES:
            return [(PACKAGE_AID, _LOADED, b"", [])]
        case Scope.FILES_AND_MODULES:
            return [(PACKAGE_AID, _LOADED, b"", [MODULE_AID])]
    raise Status(WRONG_P1_P2)


def _tagged(aid: bytes, state: int, privileges: bytes, modules: list[bytes]) -> bytes:
    return tlv.encode(
        0xE3,
        tlv.encode(_AID, aid)
        + tlv.encode(0x9F70, bytes([state]))
        + (tlv.encode(0xC5, privileges) if privileges else b"")
        + b"".join(tlv.encode(0x84, module) for module in modules),
    )


def _plain(aid: bytes, state: int, privileges: bytes, modules: list[bytes]) -> bytes:
    listed = bytes([len(modules)]) if modules else b""
    named = b"".join(bytes([len(module)]) + module for module in modules)
    return bytes([len(aid)]) + aid + bytes([state]) + (privileges[:1] or b"\0") + listed + named


_FORWARD = {
    LifeCycle.OP_READY: {LifeCycle.INITIALIZED},
    LifeCycle.INITIALIZED: {LifeCycle.SECURED},
    LifeCycle.SECURED: {LifeCycle.CARD_LOCKED},
    LifeCycle.CARD_LOCKED: {LifeCycle.SECURED},
    LifeCycle.TERMINATED: set(),
}
"""Where the card may go besides TERMINATED, to which every state leads (GlobalPlatform 5.1.1)."""


def set_status(memory: GlobalPlatformMemory, p1: int, p2: int, data: bytes) -> None:
    """SET STATUS of the card (P1 80) or of an application (P1 40); 6985 for a way that is not there."""
    match p1:
        case Scope.CARD:
            _set_card(memory, p2)
        case Scope.APPLICATIONS:
            _set_application(_instance(memory, data), p2)
        case _:
            raise Status(WRONG_P1_P2)


def _set_card(memory: GlobalPlatformMemory, wanted: int) -> None:
    if wanted not in list(LifeCycle):
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    now = LifeCycle(memory.life_cycle)
    if wanted not in _FORWARD[now] and (wanted != LifeCycle.TERMINATED or now == LifeCycle.TERMINATED):
        raise Status(CONDITIONS_NOT_SATISFIED)
    memory.life_cycle = wanted


def _set_application(instance: Instance, wanted: int) -> None:
    if wanted & ApplicationState.LOCKED:
        instance.state |= ApplicationState.LOCKED
    else:
        if not instance.state & ApplicationState.LOCKED:
            raise Status(CONDITIONS_NOT_SATISFIED)
        instance.state &= ~ApplicationState.LOCKED
