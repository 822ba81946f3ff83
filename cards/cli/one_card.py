"""`vafa cards inspect`, `verify` and `retire`: one card on a reader."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Annotated, Any

import msgspec
import typer

from cards.apdu import CardError, CardLost, Transport, card_chain
from cards.cli.enrolling import NodeEnroller
from cards.cli.place import ReaderOption, VirtualCardOption, one_card
from cards.cli.terminal import JsonOption, PassphraseFileOption, StoreOption, opened, spoken
from cards.jobs import RECIPES, EnrolmentPostponed, IssuerKeys, JobRefused
from cards.jobs.manifest import KeysWanted, Manifest
from cards.jobs.recipes import Recipe
from cards.keys import CardIdentity, CardProfile, Domain
from cards.keystore import key_ring
from cards.profiles import ntag424
from cards.profiles.label import CardLabel
from cards.profiles.steps import Progress, StepEvent, run_steps
from node.cli.connection import DEFAULT_CONFIG, AddressOption, CertificateOption, ConfigOption

VersionOption = Annotated[
    int, typer.Option("--key-version", help="The issuer keys' version on the card; 0 for the newest.")
]
BaseOption = Annotated[
    str, typer.Option("--address-base", help="Of an NTAG: the address before the parameters of a tap.")
]


class Met(msgspec.Struct, frozen=True):
    """What a card says of itself to anybody."""

    profile: str
    uid: str
    """Empty where the card shows a random one."""
    issuer: str = ""
    alias: str = ""


@spoken
def inspect(reader: ReaderOption = "", virtual: VirtualCardOption = None, json: JsonOption = False) -> None:
    """Say what lies on the reader: kind, chip, issuer and number. No key is needed and none is tried."""
    with one_card(reader, virtual, _say) as transport:
        met, _, _ = _meet(transport)
    if json:
        typer.echo(msgspec.json.encode(met).decode())
        return
    typer.echo(f"{met.profile}, chip {met.uid or 'hidden'}")
    typer.echo(
        f"card {met.alias} of {met.issuer}" if met.alias else "It carries no label: blank, or foreign."
    )


@spoken
def verify(
    store: StoreOption,
    reader: ReaderOption = "",
    virtual: VirtualCardOption = None,
    address_base: BaseOption = "",
    key_version: VersionOption = 0,
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Prove that the card is a finished one: every key, all settings, a tap, no default key."""
    with one_card(reader, virtual, _say) as transport:
        met, recipe, visit = _meet(transport)
        manifest, identity = _described(met, address_base, key_version or 1)
        with opened(store, passphrase_file) as keeper:
            keys = _keys(keeper, met.issuer, key_version)
        manifest = _with_version(manifest, key_version or keys.verification.current.version)
        plan = recipe.plan(manifest, keys, identity)
        found = recipe.read_back(visit, plan)
    shown = {
        "alias": found.label.alias,
        "issuer": found.label.issuer,
        "keys": [f"{version}:{check.hex()}" for version, check in found.keys],
        "tap_counter": found.tap_counter,
    }
    if json:
        typer.echo(msgspec.json.encode(shown).decode())
        return
    typer.echo(f"Card {found.label.alias} of {found.label.issuer} is as it should be.")
    for number, (version, check) in enumerate(found.keys):
        typer.echo(f"  key {number}  version {version}  check value {check.hex().upper()}")


@spoken
def retire(
    store: StoreOption,
    reader: ReaderOption = "",
    virtual: VirtualCardOption = None,
    address_base: BaseOption = "",
    key_version: VersionOption = 0,
    passphrase_file: PassphraseFileOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    card_only: Annotated[
        bool, typer.Option("--card-only", help="Do not tell the node; then vafa member card retire does.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
) -> None:
    """Make a member's card prove and say nothing any more. Run it again if the card was torn away.

    The node is told first, so that the card is refused by name everywhere from then on, whatever becomes of
    the chip. Where it cannot be told, the card is left as it is.
    """
    with one_card(reader, virtual, _say) as transport:
        met, recipe, visit = _meet(transport)
        manifest, identity = _described(met, address_base, key_version or 1)
        if not yes:
            typer.confirm(f"Retire card {met.alias} of {met.issuer} for good?", abort=True)
        with opened(store, passphrase_file) as keeper:
            keys = _keys(keeper, met.issuer, key_version)
        manifest = _with_version(manifest, key_version or keys.management.current.version)
        if not card_only:
            _retire_at_node(NodeEnroller(config, address, certificate), identity, manifest.keys.version)
        plan = recipe.plan(manifest, keys, identity)
        plan = replace(plan, old=plan.new)
        if recipe.module is ntag424:
            issuer, _ = keys.pair(manifest.keys.version)
            plan = replace(plan, new=ntag424.retired_keys(issuer, identity))
        run_steps(visit, recipe.module.retire(plan), _told)
    typer.echo(f"Card {met.alias} is retired.")
    if card_only:
        typer.echo(f"The node still takes it for good: vafa member card retire card:{met.alias}", err=True)


def _retire_at_node(node: NodeEnroller, identity: CardIdentity, key_version: int) -> None:
    try:
        node.retire(identity, key_version)
    except EnrolmentPostponed as failed:
        raise JobRefused(
            f"The node was not told, and nothing was done to the card: {failed} "
            "Run it again, or with --card-only."
        ) from None
    _say("The node refuses this card from now on.")


def _meet(transport: Transport) -> tuple[Met, Recipe, Any]:
    """Which of the three kinds lies there, and what it says of itself."""
    for profile in CardProfile:
        recipe = RECIPES[profile]
        visit = recipe.visit(card_chain(transport), os.urandom)
        try:
            uid = recipe.identify(visit)
        except CardLost:
            raise
        except CardError:
            continue
        label = recipe.label(visit)
        visit = recipe.visit(card_chain(transport), os.urandom)
        met = Met(profile.name.lower(), uid.hex() if uid else "", *_label(label))
        return met, recipe, visit
    raise CardError("The card on the reader is none of the kinds that are known here.")


def _label(label: CardLabel | None) -> tuple[str, str]:
    return (label.issuer, label.alias) if label else ("", "")


def _described(met: Met, address_base: str, version: int) -> tuple[Manifest, CardIdentity]:
    """A manifest of this one card, by which its plan is made."""
    if not met.alias or not met.uid:
        raise JobRefused("The card does not say whose it is, or hides its chip. Nothing was done to it.")
    profile = CardProfile[met.profile.upper()]
    if profile is CardProfile.NTAG424 and not address_base:
        raise JobRefused("Say the address that was written to the card (--address-base https://…).")
    manifest = Manifest(
        "one-card", met.profile, met.issuer, 1, met.alias, KeysWanted(version), address_base=address_base
    )
    return manifest, CardIdentity(profile, bytes.fromhex(met.uid), met.alias)


def _with_version(manifest: Manifest, version: int) -> Manifest:
    return msgspec.structs.replace(manifest, keys=KeysWanted(version))


def _keys(keeper: Any, merchant: str, version: int) -> IssuerKeys:
    management, verification = (
        key_ring(keeper, merchant, domain, version) for domain in (Domain.MANAGEMENT, Domain.VERIFICATION)
    )
    return IssuerKeys(management, verification)


def _told(event: StepEvent) -> None:
    if event.progress is Progress.BEGUN:
        _say(event.intent)


def _say(words: str) -> None:
    typer.echo(words, err=True)
