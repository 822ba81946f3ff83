"""A bureau's batch of the tests: a signed job in a directory, virtual cards on a hand's place, a node that
remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cards.apdu import CardLost, Transport
from cards.jobs import (
    CardEnrolment,
    CardOutcome,
    EnrolmentPostponed,
    IssuerKeys,
    JobBook,
    Runner,
    read_signed,
    sign_manifest,
)
from cards.jobs.manifest import SignedJob
from cards.keys import Domain, KeyRing
from node.identity.signers import ed25519_signer
from simulators.cards.card import VirtualCard
from tests.cards.bureau import KINDS, MERCHANT, Kind, issuer

SIGNER = ed25519_signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
FIRST = "6104000000017"
KINDS_BY_NAME = {kind.name: kind for kind in KINDS}
AnyCard = VirtualCard[Any]


def manifest_text(kind: Kind, more: str = "", *, cards: int = 1, head: str = "", version: int = 1) -> str:
    """A manifest as a person writes it; `head` goes before the first table, `more` after the last."""
    base = 'address_base = "https://card.saffron.example/t"\n' if kind.name == "ntag424" else ""
    return (
        f'job = "winter-1"\nprofile = "{kind.name}"\nissuer = "{MERCHANT}"\ncount = {cards}\n'
        f'first_number = "{FIRST}"\n{base}{head}'
        f"[keys]\nversion = {version}\n{more}"
    )


def signed_job(directory: Path, text: str, name: str = "JOB.toml") -> SignedJob:
    """Write, sign and read back a manifest."""
    path = directory / name
    path.write_text(text, encoding="utf-8")
    sign_manifest(path, SIGNER)
    return read_signed(path, SIGNER.public_uri)


def issuer_keys(current: int = 1) -> IssuerKeys:
    """Both rings, with the version before if there was one."""

    def ring(domain: Domain) -> KeyRing:
        return KeyRing(issuer(domain, current), issuer(domain, current - 1) if current > 1 else None)

    return IssuerKeys(ring(Domain.MANAGEMENT), ring(Domain.VERIFICATION))


class Hand:
    """Puts cards on, one after another; a card that was torn is put back, `retries` times at most."""

    def __init__(self, cards: list[AnyCard], puts: int | None = None) -> None:
        self._cards = cards
        self._puts = puts if puts is not None else len(cards)
        self._at = 0
        self.card: AnyCard | None = None

    def wait_for_card(self) -> bool:
        if self._at == self._puts:
            return False
        self.card = self._cards[self._at % len(self._cards)]
        self._at += 1
        return True

    @contextmanager
    def powered(self) -> Iterator[Transport]:
        if self.card is None:
            raise CardLost("There is no card on the reader.")
        self.card.tap()
        try:
            yield self.card
        finally:
            self.card.power_off()

    def wait_for_removal(self) -> None:
        self.card = None


@dataclass
class Node:
    """A node that does each request once, and may be away."""

    away: bool = False
    answers_lost: int = 0
    requests: dict[str, CardEnrolment] = field(default_factory=dict)
    calls: int = 0

    def enrol(self, card: CardEnrolment) -> str:
        self.calls += 1
        if self.away:
            raise EnrolmentPostponed("No node answers.")
        known = self.requests.setdefault(card.request_id, card)
        assert known == card, "one request id, two requests"
        if self.answers_lost:
            self.answers_lost -= 1
            raise EnrolmentPostponed("The answer was lost.")
        return f"account-of-{card.identity.alias}"


@dataclass
class Batch:
    """One job with what it needs; `run` is one start of the program."""

    directory: Path
    job: SignedJob
    keys: IssuerKeys
    node: Node = field(default_factory=Node)
    trace: list[str] = field(default_factory=list)
    outcomes: list[CardOutcome] = field(default_factory=list)
    ticks: Iterator[int] = field(default_factory=lambda: count(1_795_400_000_000))

    def run(self, hand: Hand, then: Callable[[JobBook], None] = lambda book: None) -> list[CardOutcome]:
        """Start the program, let it run until no more cards come, and end it."""
        outcomes: list[CardOutcome] = []
        with JobBook(self.directory / "work", self.job, lambda: next(self.ticks)) as book:
            runner = Runner(
                book,
                self.keys,
                hand,
                random_bytes=Random(len(self.trace)).randbytes,
                now_ms=lambda: next(self.ticks),
                enroller=self.node,
                trace=self.trace.append,
            )
            try:
                runner.run(outcomes.append)
            finally:
                self.outcomes += outcomes
            then(book)
        return outcomes


def a_batch(
    directory: Path, kind: Kind, more: str = "", *, cards: int = 1, head: str = "", version: int = 1
) -> Batch:
    """A job of a kind of card."""
    text = manifest_text(kind, more, cards=cards, head=head, version=version)
    return Batch(directory, signed_job(directory, text), issuer_keys(version))


def blank_cards(kind: Kind, number: int) -> list[AnyCard]:
    """Blank cards with chips of their own."""
    return [kind.blank(kind.uid[:-2] + (at + 1).to_bytes(2, "big")) for at in range(number)]
