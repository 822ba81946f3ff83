"""A bureau of the tests: virtual cards, plans for them, and one face for the three profiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from types import ModuleType
from typing import Any

from cards.apdu import Command, Processor, Response, Trace, card_chain
from cards.crypto import CardKey
from cards.keys import CardIdentity, CardProfile, Domain, IssuerKey, issuer_key
from cards.profiles import desfire, javacard, ntag424
from cards.profiles.globalplatform import GlobalPlatformVisit
from cards.profiles.label import CardLabel
from cards.profiles.native_card import NativeVisit
from cards.profiles.steps import StepEvent, run_steps
from simulators.cards.card import VirtualCard, seeded
from simulators.cards.desfire.card import Desfire
from simulators.cards.desfire.memory import blank as blank_desfire
from simulators.cards.globalplatform.card import GlobalPlatformCard
from simulators.cards.globalplatform.memory import blank as blank_javacard
from simulators.cards.ntag424.card import Ntag424
from simulators.cards.ntag424.memory import blank as blank_ntag424

MASTER = CardKey(bytes.fromhex("7D1E5B0C94A83F6627D0B1E85C9A4F13"))
MERCHANT = "saffron"
ALIAS = "6104000000017"
LABEL = CardLabel(MERCHANT, ALIAS)
ADDRESS_BASE = "https://card.saffron.example/t"
UID = bytes.fromhex("04C767F2066180")


def issuer(domain: Domain, version: int = 1, merchant: str = MERCHANT) -> IssuerKey:
    """A merchant's issuer key."""
    return issuer_key(MASTER, merchant, domain, version)


@dataclass
class Kind:
    """One profile with a way to make cards and plans of it."""

    name: str
    profile: CardProfile
    module: ModuleType
    blank: Callable[[bytes], VirtualCard[Any]]
    visit: Callable[..., Any]
    uid: bytes

    def identity(self, alias: str = ALIAS) -> CardIdentity:
        """Of the card that `blank` makes."""
        return CardIdentity(self.profile, self.uid, alias)

    def keys(self, version: int = 1, alias: str = ALIAS) -> Any:
        """A member's card's keys."""
        return self.module.card_keys(
            issuer(Domain.MANAGEMENT, version), issuer(Domain.VERIFICATION, version), self.identity(alias)
        )

    def plan(self, old: Any = None, new: Any = None) -> Any:
        """From the factory's keys to those of version 1, unless told otherwise."""
        old, new = old or self.module.factory_keys(), new or self.keys()
        if self.module is ntag424:
            return ntag424.Plan(self.identity(), LABEL, ADDRESS_BASE, old, new)
        return self.module.Plan(self.identity(), LABEL, old, new)


NTAG = Kind(
    "ntag424",
    CardProfile.NTAG424,
    ntag424,
    lambda uid: Ntag424(blank_ntag424(uid), seeded(1)),
    NativeVisit,
    UID,
)
DESFIRE = Kind(
    "desfire",
    CardProfile.DESFIRE,
    desfire,
    lambda uid: Desfire(blank_desfire(uid), seeded(1)),
    NativeVisit,
    UID,
)
JAVACARD = Kind(
    "javacard",
    CardProfile.JAVACARD,
    javacard,
    lambda uid: GlobalPlatformCard(blank_javacard(UID, uid), seeded(1)),
    GlobalPlatformVisit,
    b"CHIP000042",
)
KINDS = [NTAG, DESFIRE, JAVACARD]


@dataclass
class Bureau:
    """A reader with a card on it, a trace of what passed, and a journal."""

    kind: Kind
    card: VirtualCard[Any]
    trace: list[str] = field(default_factory=list)
    journal: list[StepEvent] = field(default_factory=list)
    commands: int = 0

    def visit(self) -> Any:
        """Put the card on the reader anew."""
        self.card.tap()
        chain: Processor = Trace(card_chain(self.card), self.trace.append)
        return self.kind.visit(_Counting(chain, self), Random(len(self.trace)).randbytes)

    def run(self, steps: Sequence[Any], visit: Any = None) -> None:
        """Run steps on the card."""
        run_steps(visit or self.visit(), steps, self.journal.append)

    def personalise(self, plan: Any = None) -> None:
        """Make it a member's card."""
        self.run(self.kind.module.personalise(plan or self.kind.plan()))

    def read_back(self, plan: Any = None) -> Any:
        """What the acceptance check says."""
        return self.kind.module.read_back(self.visit(), plan or self.kind.plan())


class _Counting:
    def __init__(self, inner: Processor, bureau: Bureau) -> None:
        self._inner, self._bureau = inner, bureau

    def send(self, command: Command) -> Response:
        self._bureau.commands += 1
        return self._inner.send(command)


def a_bureau(kind: Kind) -> Bureau:
    """With a blank card on its reader."""
    return Bureau(kind, kind.blank(kind.uid))


def a_members_card(kind: Kind) -> Bureau:
    """With a finished card on its reader."""
    bureau = a_bureau(kind)
    bureau.personalise()
    return bureau
