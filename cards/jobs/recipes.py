"""What the three profiles do under one face, for a runner that makes any of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cards.apdu import CardError, CardLost, Processor
from cards.jobs.manifest import Action, JobRefused, Manifest
from cards.keys import CardIdentity, CardProfile, Domain, IssuerKey, KeyRing
from cards.profiles import desfire, javacard, ntag424
from cards.profiles.globalplatform import GlobalPlatformVisit
from cards.profiles.label import CardLabel
from cards.profiles.native_card import NativeVisit, RandomBytes
from cards.profiles.steps import Accepted, Step

NATIVE_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """The rings of both domains of one merchant."""

    management: KeyRing
    verification: KeyRing

    def pair(self, version: int) -> tuple[IssuerKey, IssuerKey]:
        """Both keys of a version; `JobRefused` if one of them is not there."""
        found = self.management.of_version(version), self.verification.of_version(version)
        management, verification = found
        if management is None or verification is None:
            raise JobRefused(
                f"The key store has no issuer keys of version {version} of {self.management.merchant}."
                " See what it has: vafa keys list."
            )
        return management, verification


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one kind of card is met, made and read back. Visits and plans are the profile's own."""

    module: Any
    visit: Callable[[Processor, RandomBytes], Any]
    identify: Callable[[Any], bytes | None]
    """Who lies there: its UID, or None for a card that shows a random one."""

    def label(self, visit: Any) -> CardLabel | None:
        """Whose card it says it is; None for a blank one."""
        try:
            found: CardLabel = self.module.read_label(visit)
        except CardLost:
            raise
        except CardError:
            return None
        return found

    def factory_uid(self, visit: Any) -> bytes:
        """The UID of a blank card that shows a random one."""
        factory = self.module.factory_keys()
        master = factory.card if self.module is desfire else factory[0]
        uid: bytes = self.module.ask_uid(visit, master)
        return uid

    def plan(self, manifest: Manifest, keys: IssuerKeys, identity: CardIdentity) -> Any:
        """What the card shall become; `JobRefused` without the keys for it."""
        new = self.module.card_keys(*keys.pair(manifest.keys.version), identity)
        old = self.module.factory_keys()
        if manifest.keys.from_version is not None:
            old = self.module.card_keys(*keys.pair(manifest.keys.from_version), identity)
        label = CardLabel(manifest.issuer, identity.alias)
        if self.module is ntag424:
            return ntag424.Plan(identity, label, manifest.address_base, old, new)
        return self.module.Plan(identity, label, old, new)

    def steps(self, manifest: Manifest, plan: Any) -> Sequence[Step[Any]]:
        """From the plan's old keys to its new ones."""
        rotates = manifest.action is Action.ROTATE
        steps: Sequence[Step[Any]] = (
            self.module.rotate_keys(plan) if rotates else self.module.personalise(plan)
        )
        return steps

    def read_back(self, visit: Any, plan: Any) -> Accepted:
        """Prove that the card is what the plan says."""
        accepted: Accepted = self.module.read_back(visit, plan)
        return accepted


RECIPES: dict[CardProfile, Recipe] = {
    CardProfile.NTAG424: Recipe(ntag424, NativeVisit, lambda visit: ntag424.identify(visit).uid),
    CardProfile.DESFIRE: Recipe(desfire, NativeVisit, lambda visit: desfire.identify(visit).uid),
    CardProfile.JAVACARD: Recipe(javacard, GlobalPlatformVisit, javacard.identify),
}


def check_keys(manifest: Manifest, keys: IssuerKeys) -> None:
    """`JobRefused` unless the keys are the manifest's issuer's, of its versions, and fit its kind of card."""
    rings = ((keys.management, Domain.MANAGEMENT), (keys.verification, Domain.VERIFICATION))
    if any((ring.merchant, ring.domain) != (manifest.issuer, domain) for ring, domain in rings):
        raise JobRefused(f"These are not the keys of {manifest.issuer}, for which the job is.")
    wanted = (manifest.keys.version, manifest.keys.from_version)
    for version in wanted:
        for issuer in keys.pair(version) if version is not None else ():
            native = manifest.card_profile is not CardProfile.JAVACARD
            if native and len(issuer.key) != NATIVE_KEY_BYTES:
                raise JobRefused("NTAG and DESFire cards need issuer keys of 128 bits.")
