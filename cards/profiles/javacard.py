"""A GlobalPlatform JavaCard with the loyalty applet as a member's card. `docs/cards/applet.md` specifies the
applet.

The issuer security domain's key set is the way back in, and management's; the applet's sale key is for
verification. The applet's package must be on the card already, in ROM or loaded by its maker.
"""

from dataclasses import dataclass, replace

from cards.apdu import Command, StatusWord
from cards.keys import CardIdentity, CardKey, CardProfile, IssuerKey, Purpose, card_key, gp_check_value
from cards.profiles.globalplatform import (
    FACTORY_VERSION,
    ChannelKeys,
    GlobalPlatformVisit,
    LifeCycle,
    Scope,
)
from cards.profiles.label import CardLabel, LabelUnreadable, label_of, take_tlv, tlv
from cards.profiles.steps import (
    Accepted,
    CardUnexpected,
    DefaultKey,
    NotAccepted,
    Step,
    VersionedKey,
    refuse_default_keys,
)
from cards.scp03 import StaticKeys, encrypt_under_dek

PACKAGE = bytes.fromhex("F05641464101")
APPLET = bytes.fromhex("F0564146410101")
TAG_ISSUER, TAG_ALIAS, TAG_KEY_VERSION, TAG_COUNTER, TAG_CHECK_VALUE, TAG_KEY = range(0xDF21, 0xDF27)
_FACTORY_KEY = bytes(range(0x40, 0x50))


@dataclass(frozen=True, slots=True)
class Keys:
    """The domain's key set, and the applet's sale key; None before there is one."""

    channel: ChannelKeys
    sale: VersionedKey | None

    @property
    def all(self) -> tuple[VersionedKey, ...]:
        """Every key with its version."""
        static, version = self.channel.keys, self.channel.version
        channel = (VersionedKey(key, version) for key in (static.enc, static.mac, static.dek))
        return (*channel, *((self.sale,) if self.sale else ()))


@dataclass(frozen=True, slots=True)
class Plan:
    """What one card shall become. `old` are its keys so far: the factory's, or those of the version
    before.
    """

    identity: CardIdentity
    label: CardLabel
    old: Keys
    new: Keys

    def __post_init__(self) -> None:
        if self.label.alias != self.identity.alias or self.identity.profile is not CardProfile.JAVACARD:
            raise ValueError("the label and the identity name two different cards")

    @property
    def candidates(self) -> tuple[ChannelKeys, ChannelKeys]:
        """The key sets that may be on the card, the new one first."""
        return self.new.channel, self.old.channel

    @property
    def sale(self) -> VersionedKey:
        """The sale key that the card shall hold."""
        if self.new.sale is None:
            raise ValueError("a member's card has a sale key")
        return self.new.sale


def factory_keys() -> Keys:
    """The key of test cards and of most deliveries, three times, version FF; a supplier may agree on
    others.
    """
    key = CardKey(_FACTORY_KEY)
    return Keys(ChannelKeys(StaticKeys(key, key, key), FACTORY_VERSION), None)


def card_keys(management: IssuerKey, verification: IssuerKey, identity: CardIdentity) -> Keys:
    """A member's card's keys."""
    purposes = (Purpose.CHANNEL_ENC, Purpose.CHANNEL_MAC, Purpose.CHANNEL_DEK)
    static = StaticKeys(*(card_key(management, purpose, identity) for purpose in purposes))
    sale = VersionedKey(card_key(verification, Purpose.SALE, identity), verification.version)
    return Keys(ChannelKeys(static, management.version), sale)


def identify(visit: GlobalPlatformVisit) -> bytes:
    """The ten bytes that name the chip. No key is tried; `ChannelNotOffered` if it is no SCP03 card."""
    return visit.greet().diversification_data


def personalise(plan: Plan) -> list[Step[GlobalPlatformVisit]]:
    """From a blank card to a member's card. `DefaultKey` before any of it."""
    refuse_default_keys(plan.new.all)
    return [
        _install_step(plan),
        _data_step(plan),
        _life_cycle_step(plan, LifeCycle.INITIALIZED),
        _life_cycle_step(plan, LifeCycle.SECURED),
        _channel_keys_step(plan),
    ]


def rotate_keys(plan: Plan) -> list[Step[GlobalPlatformVisit]]:
    """New keys for a member's card in the field; its transaction counter goes on."""
    refuse_default_keys(plan.new.all)
    return [_data_step(plan), _channel_keys_step(plan)]


def retire(plan: Plan) -> list[Step[GlobalPlatformVisit]]:
    """To a locked card without the applet. `plan.new` are the keys that it holds; they stay, as the way back
    in.
    """

    def is_done(visit: GlobalPlatformVisit) -> bool:
        visit.enter(plan.candidates)
        return not visit.status(Scope.APPLICATIONS, APPLET)

    def perform(visit: GlobalPlatformVisit) -> None:
        visit.enter(plan.candidates)
        visit.delete(APPLET)

    return [
        Step("applet", "Delete the applet with its key", is_done, perform),
        _life_cycle_step(plan, LifeCycle.CARD_LOCKED),
    ]


def _install_step(plan: Plan) -> Step[GlobalPlatformVisit]:
    def is_done(visit: GlobalPlatformVisit) -> bool:
        visit.enter(plan.candidates)
        return bool(visit.status(Scope.APPLICATIONS, APPLET))

    def perform(visit: GlobalPlatformVisit) -> None:
        visit.enter(plan.candidates)
        if not visit.status(Scope.LOAD_FILES, PACKAGE):
            raise CardUnexpected(
                "The loyalty applet's package is not on the card. Load it, or order cards with it."
            )
        visit.install(PACKAGE, APPLET, APPLET)

    return Step("applet", "Install the loyalty applet", is_done, perform)


def _data_step(plan: Plan) -> Step[GlobalPlatformVisit]:
    sale = plan.sale

    def is_done(visit: GlobalPlatformVisit) -> bool:
        return _applet_holds(visit, plan)

    def perform(visit: GlobalPlatformVisit) -> None:
        visit.enter(plan.candidates)
        head = bytes((sale.version, len(sale.key)))
        key = head + encrypt_under_dek(sale.key, visit.dek()) + sale.check_value
        visit.store(APPLET, plan.label.encode() + tlv(TAG_KEY, key))

    return Step("applet: data", "Store the label and the key that proves sales", is_done, perform, sale)


def _applet_holds(visit: GlobalPlatformVisit, plan: Plan) -> bool:
    select_applet(visit)
    if applet_data(visit, TAG_KEY_VERSION) != bytes((plan.sale.version,)):
        return False
    return applet_data(visit, TAG_CHECK_VALUE) == plan.sale.check_value and _label(visit) == plan.label


def _life_cycle_step(plan: Plan, state: LifeCycle) -> Step[GlobalPlatformVisit]:
    def is_done(visit: GlobalPlatformVisit) -> bool:
        visit.enter(plan.candidates)
        return visit.life_cycle() >= state

    def perform(visit: GlobalPlatformVisit) -> None:
        visit.enter(plan.candidates)
        visit.set_life_cycle(state)

    return Step(f"life cycle: {state.name}", f"Bring the card to {state.name}", is_done, perform)


def _channel_keys_step(plan: Plan) -> Step[GlobalPlatformVisit]:
    new = plan.new.channel

    def is_done(visit: GlobalPlatformVisit) -> bool:
        visit.enter(plan.candidates)
        return visit.held.keys == new.keys

    def perform(visit: GlobalPlatformVisit) -> None:
        visit.enter(plan.candidates)
        visit.put_keys(new)
        # The channel is still under the old keys; what is asked next must come from the new ones.
        visit.greet()

    key = VersionedKey(new.keys.enc, new.version)
    return Step("domain keys", f"Put in the issuer's keys, version {new.version}", is_done, perform, key)


def select_application() -> Command:
    """SELECT of the loyalty applet."""
    return Command(0x00, 0xA4, 0x04, 0x00, APPLET, le=256, name="select the loyalty applet")


def select_applet(visit: GlobalPlatformVisit) -> None:
    """Select the loyalty applet; `CardRefused` (6A82) on a card that has none, or a locked one."""
    visit.select(select_application())


def applet_data(visit: GlobalPlatformVisit, tag: int) -> bytes:
    """One data object of the selected applet, free for everybody; empty while it is not personalised."""
    command = get_applet_data(tag)
    answer = visit.card.send(command)
    if answer.status == StatusWord.CONDITIONS_NOT_SATISFIED:
        return b""
    return data_object(tag, answer.expect(command.title))


def get_applet_data(tag: int) -> Command:
    """GET DATA of one object of the selected applet."""
    return Command(0x80, 0xCA, tag >> 8, tag & 0xFF, le=256, name=f"get data {tag:04X}")


def data_object(tag: int, answer: bytes) -> bytes:
    """The value in the answer to GET DATA; `LabelUnreadable` where it is another object."""
    found, value, rest = take_tlv(answer)
    if found != tag or rest:
        raise LabelUnreadable("The applet answered with another data object than was asked for.")
    return value


def read_label(visit: GlobalPlatformVisit) -> CardLabel:
    """Whose card it says it is, without authentication."""
    select_applet(visit)
    return _label(visit)


def _label(visit: GlobalPlatformVisit) -> CardLabel:
    issuer, alias = applet_data(visit, TAG_ISSUER), applet_data(visit, TAG_ALIAS)
    return label_of(issuer.decode("ascii", "replace"), alias.decode("ascii", "replace"))


def read_back(visit: GlobalPlatformVisit, plan: Plan) -> Accepted:
    """Prove that a card is what `plan` made of it; `NotAccepted` if anything is otherwise."""
    only_new = replace(plan, old=plan.new)
    for step in personalise(only_new):
        if not step.is_done(visit):
            raise NotAccepted(f"{step.intent}: this is not so on the card. Run its job again.")
    greeting = visit.greet()
    if greeting.diversification_data != plan.identity.uid:
        raise NotAccepted("The card has another chip than its keys were made for.")
    visit.enter(only_new.candidates)
    versions = visit.key_versions()
    if versions != {plan.new.channel.version}:
        raise DefaultKey(
            "The card still holds other key sets than the issuer's; its delivery keys may open it."
        )
    keys = tuple((key.version, gp_check_value(key.key)) for key in plan.new.all)
    return Accepted(plan.identity.uid, plan.label, keys)
