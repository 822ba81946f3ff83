"""`python -m bench cards`: the host's own share of making a card, and verifications a second at the node.

Virtual cards stand where a reader does. Their own time is measured at the transport and taken off, so that
what is left is the host's: building and protecting commands, journals with their syncs, the acceptance check.
A real card's time is reckoned from what passed: a fixed time for each command and the bits on the air.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.report import figure, finish, parser, say, show_goals, show_table, spread, warn_when_busy
from cards.apdu import Transport, card_chain
from cards.crypto import CardKey, cmac
from cards.jobs import RECIPES, IssuerKeys, JobBook, Result, Runner, read_signed, sign_manifest
from cards.jobs.manifest import SignedJob
from cards.keys import CardIdentity, CardProfile, Domain, KeyRing, issuer_key
from cards.profiles import ntag424
from cards.profiles.steps import run_steps
from cards.verification import (
    CardRecord,
    ExpectedSale,
    Next,
    Proven,
    Sale,
    advance,
    begin,
    internal_authenticate,
    parse_answer,
    parse_sale,
    verify_applet,
    verify_sun,
)
from cards.verification.counters import CounterWindow
from node.identity.signers import ed25519_signer
from simulators.cards.shelf import AnyCard, Profile, new_card

COMMAND_SECONDS = 0.010
"""A command's fixed time at a usual desktop reader: USB, the card's start and its AES. An assumption."""
BITS_A_SECOND = 106_000
"""The slowest rate of ISO/IEC 14443-4, which every card and reader begins with."""
SHARE_GOAL = 0.05
CMAC_BYTES = 64
_ISSUER, _ALIAS, _BASE = "saffron", "6104000000017", "https://card.saffron.example/t"
_MASTER = CardKey(bytes.fromhex("7D1E5B0C94A83F6627D0B1E85C9A4F13"))
_SIGNER = ed25519_signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
_SALE = Sale("pistachio", "till-7", 1_250_000, "IRR", b"nonce-01")
_CHANCE = bytes(range(16))


@dataclass(frozen=True, slots=True)
class Made:
    """One card's making: commands, bytes both ways, and seconds of the host alone, syncs among them."""

    commands: int
    bytes_passed: int
    host_seconds: float
    host_cpu_seconds: float
    """Of `host_seconds` what it computed; the rest is waiting for the disk, and for other work."""

    @property
    def card_seconds(self) -> float:
        """What a real card would take, by the assumptions above."""
        return self.commands * COMMAND_SECONDS + self.bytes_passed * 8 / BITS_A_SECOND


class _Timed:
    """A place with one card at a time, whose own seconds are counted."""

    def __init__(self, cards: list[AnyCard]) -> None:
        self._cards = iter(cards)
        self._card: AnyCard | None = None
        self.commands = self.bytes_passed = 0
        self.seconds = self.cpu_seconds = 0.0

    def wait_for_card(self) -> bool:
        self._card = next(self._cards, None)
        return self._card is not None

    @contextmanager
    def powered(self) -> Iterator[Transport]:
        assert self._card is not None
        self._card.tap()
        yield self

    def transmit(self, apdu: bytes) -> bytes:
        assert self._card is not None
        started, cpu_started = time.perf_counter(), time.process_time()
        answer = self._card.transmit(apdu)
        self.seconds += time.perf_counter() - started
        self.cpu_seconds += time.process_time() - cpu_started
        self.commands += 1
        self.bytes_passed += len(apdu) + len(answer)
        return answer

    def wait_for_removal(self) -> None:
        self._card = None


def main(arguments: list[str]) -> int:
    """Measure, show, and write the figures where they are wanted."""
    options = parser("cards", "Making cards and verifying them.", seconds=2.0).parse_args(arguments)
    warn_when_busy()
    made = {profile: making(profile, options.seconds) for profile in Profile}
    rates = {name: rate(work, options.seconds) for name, work in schemes().items()}
    _show(made, rates)
    figures: dict[str, Any] = {
        "made": {
            profile.value: asdict(one) | {"card_seconds": one.card_seconds} for profile, one in made.items()
        },
        "verifications_a_second": rates,
        "assumed": {"command_seconds": COMMAND_SECONDS, "bits_a_second": BITS_A_SECOND},
    }
    finish("cards", figures, options.json)
    return 0


def making(profile: Profile, seconds: float) -> Made:
    """Make cards of one kind for about so long, in the way of a job; the median of each figure."""
    say(f"Making {profile.value} cards.")
    found: list[Made] = []
    until = time.monotonic() + seconds
    while not found or time.monotonic() < until:
        with tempfile.TemporaryDirectory(prefix="vafa-bench-") as directory:
            found.append(_one(profile, Path(directory)))
    return Made(
        round(spread([one.commands for one in found]).median),
        round(spread([one.bytes_passed for one in found]).median),
        spread([one.host_seconds for one in found]).median,
        spread([one.host_cpu_seconds for one in found]).median,
    )


def _one(profile: Profile, directory: Path) -> Made:
    job = _job(profile, directory)
    place = _Timed([new_card(profile, os.urandom)])
    results: list[Result] = []
    with JobBook(directory / "work", job, _now_ms) as book:
        runner = Runner(book, _keys(), place, random_bytes=os.urandom, now_ms=_now_ms)
        started, cpu_started = time.perf_counter(), time.process_time()
        runner.run(lambda outcome: results.append(outcome.result))
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    assert results == [Result.FINISHED], results
    return Made(place.commands, place.bytes_passed, seconds - place.seconds, cpu_seconds - place.cpu_seconds)


def _job(profile: Profile, directory: Path) -> SignedJob:
    manifest = directory / "JOB.toml"
    base = f'address_base = "{_BASE}"\n' if profile is Profile.NTAG424 else ""
    manifest.write_text(
        f'job = "bench"\nprofile = "{profile.value}"\nissuer = "{_ISSUER}"\ncount = 1\n'
        f'first_number = "{_ALIAS}"\n{base}[keys]\nversion = 1\n',
        encoding="utf-8",
    )
    sign_manifest(manifest, _SIGNER)
    return read_signed(manifest, _SIGNER.public_uri)


def rate(work: Callable[[], object], seconds: float) -> float:
    """How often `work` is done in a second, on one core."""
    done, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        for _ in range(20):
            work()
        done += 20
    return done / passed


def schemes() -> dict[str, Callable[[], object]]:
    """What a node does for each kind of proof, and the bare CMAC beside it."""
    message = os.urandom(CMAC_BYTES)
    ntag, desfire, applet = (_finished(profile) for profile in Profile)
    return {
        f"CMAC over {CMAC_BYTES} bytes": lambda: cmac(_MASTER, message),
        "tap (SUN)": _tap(*ntag),
        "EV2 through the till, NTAG": _online(*ntag),
        "EV2 through the till, DESFire": _online(*desfire),
        "applet's cryptogram": _cryptogram(*applet),
    }


def _finished(profile: Profile) -> tuple[AnyCard, CardRecord]:
    card = new_card(profile, os.urandom)
    kind = CardProfile[profile.name]
    recipe = RECIPES[kind]
    card.tap()
    visit = recipe.visit(card_chain(card), os.urandom)
    uid = recipe.identify(visit)
    assert uid is not None
    identity = CardIdentity(kind, uid, _ALIAS)
    with tempfile.TemporaryDirectory(prefix="vafa-bench-") as directory:
        manifest = _job(profile, Path(directory)).manifest
    run_steps(visit, recipe.steps(manifest, recipe.plan(manifest, _keys(), identity)))
    return card, CardRecord(_ISSUER, identity, 1)


def _tap(card: AnyCard, record: CardRecord) -> Callable[[], object]:
    card.tap()
    address = ntag424.read_address(RECIPES[record.identity.profile].visit(card_chain(card), os.urandom))
    ring = _keys().verification

    def verify() -> None:
        assert isinstance(verify_sun(address, record, ring, 0), Proven)

    return verify


def _online(card: AnyCard, record: CardRecord) -> Callable[[], object]:
    """The node's side again and again, over what the card once answered to the same chance."""
    ring, answers = _keys().verification, []
    card.tap()

    def first() -> Next:
        begun = begin(record, ring, _SALE, session_id=_CHANCE, rnd_a=_CHANCE, now_ms=0)
        assert isinstance(begun, Next)
        return begun

    step: object = first()
    while isinstance(step, Next):
        answers.append(card.transmit(step.apdu))
        step = advance(step.session, answers[-1], _SALE, now_ms=0)
    assert isinstance(step, Proven), step

    def verify() -> None:
        said: object = first()
        for answer in answers:
            assert isinstance(said, Next)
            said = advance(said.session, answer, _SALE, now_ms=0)
        assert isinstance(said, Proven)

    return verify


def _cryptogram(card: AnyCard, record: CardRecord) -> Callable[[], object]:
    card.tap()
    visit = RECIPES[record.identity.profile].visit(card_chain(card), os.urandom)
    RECIPES[record.identity.profile].module.select_applet(visit)
    raw = _SALE.encode()
    answer = parse_answer(visit.card.send(internal_authenticate(raw)).expect("prove the sale"))
    assert answer is not None
    ring, expected = _keys().verification, ExpectedSale("pistachio", 1_250_000, "IRR", "till-7")

    def verify() -> None:
        proven = verify_applet(record, ring, parse_sale(raw), answer, expected, CounterWindow())
        assert isinstance(proven, Proven)

    return verify


def _keys() -> IssuerKeys:
    management, verification = (
        KeyRing(issuer_key(_MASTER, _ISSUER, domain, 1))
        for domain in (Domain.MANAGEMENT, Domain.VERIFICATION)
    )
    return IssuerKeys(management, verification)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _show(made: dict[Profile, Made], rates: dict[str, float]) -> None:
    rows = [
        [
            profile.value, str(one.commands), figure(one.card_seconds), figure(one.host_seconds * 1000),
            figure(one.host_cpu_seconds * 1000),
            f"{one.host_seconds / one.card_seconds:.1%}",
            figure(3600 / (one.card_seconds + one.host_seconds)),
        ]
        for profile, one in made.items()
    ]  # fmt: skip
    columns = ("card", "commands", "card s", "host ms", "of it CPU", "host/card", "cards an hour")
    show_table("Making one card, read back and journalled", columns, rows)
    bare = next(iter(rates.values()))
    show_table(
        "Verified at the node, one core",
        ("scheme", "a second", "of bare CMAC"),
        [[name, figure(value), f"{value / bare:.1%}"] for name, value in rates.items()],
    )
    show_goals(
        [
            (
                f"{profile.value}: host's share of the card's time",
                one.host_seconds / one.card_seconds,
                "<=",
                SHARE_GOAL,
            )
            for profile, one in made.items()
        ]
    )
