"""MIFARE DESFire as a member's card, in the public EV2 subset (MF3D(H)x2 short data sheet, AN12343).

One application with three keys and two files, beside whatever else the card carries:

| key | what it is | domain |
| --- | --- | --- |
| the card's own | creates and deletes applications; the way back in | management |
| application 0 | master: settings, the label, the other keys | management |
| application 1 | proves a sale: writes its hash to file 3, MACed | verification |
| application 2 | unused, and so no default | management |

File 1 holds the label, free to read; file 3 is for the hash of a sale. The card's own key must be an AES key:
cards that come with a DES key there are converted by their supplier, since that needs an older protocol.
"""

from dataclasses import dataclass

from cards.apdu import Command
from cards.ev2 import CommMode, native
from cards.keys import CardIdentity, CardProfile, IssuerKey, Purpose, card_key, factory_key
from cards.profiles.label import MAX_LABEL_BYTES, CardLabel, parse_label
from cards.profiles.native_card import (
    FREE,
    MASTER,
    Chip,
    Level,
    NativeVisit,
    key_step,
    master_key_step,
    prove_keys,
)
from cards.profiles.steps import (
    Accepted,
    CardUnexpected,
    KeyChange,
    NotAccepted,
    Step,
    VersionedKey,
    refuse_default_keys,
)

PRODUCT = 0x01
APPLICATION = bytes.fromhex("4156F5")
"""AID F55641 as it goes to the card, lowest byte first; F5 is the block for closed systems (AN10787)."""
SALE_KEY, SPARE_KEY = 1, 2
APPLICATION_KEYS = 3
LABEL_FILE, SALE_FILE = 1, 3
SALE_FILE_BYTES = 32

_PICC = bytes(3)
_AES = 0x80
_COMM_MAC = 0x01
_CARD_SETTINGS = 0x09
"""Key 0 may change itself and these; listing and creating want it (MF3D(H)x2 8.2)."""
_APPLICATION_SETTINGS = 0x0B
"""As above, with the list of files free; key 0 changes the other keys."""
_INS_SELECT, _INS_CREATE, _INS_DELETE, _INS_LIST = 0x5A, 0xCA, 0xDA, 0x6A
_INS_CREATE_FILE, _INS_FILES, _INS_READ = 0xCD, 0x6F, 0xAD
_INS_KEY_SETTINGS, _INS_CHANGE_KEY_SETTINGS = 0x45, 0x54


@dataclass(frozen=True, slots=True)
class Keys:
    """The card's own key, and the application's keys 0 to 2."""

    card: VersionedKey
    application: tuple[VersionedKey, ...]

    def __post_init__(self) -> None:
        if len(self.application) != APPLICATION_KEYS:
            raise ValueError(f"the application has {APPLICATION_KEYS} keys")

    @property
    def all(self) -> tuple[VersionedKey, ...]:
        """The card's, then the application's."""
        return (self.card, *self.application)


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
        if self.label.alias != self.identity.alias or self.identity.profile is not CardProfile.DESFIRE:
            raise ValueError("the label and the identity name two different cards")

    def card_level(self) -> Level:
        """The card itself."""
        master = KeyChange(MASTER, self.old.card, self.new.card)
        return Level("card", select(_PICC), master, master_number_on_card=_AES | MASTER)

    def application_level(self) -> Level:
        """The loyalty application."""
        master = KeyChange(MASTER, self.old.application[MASTER], self.new.application[MASTER])
        return Level("application", select_application(), master)


def factory_keys() -> Keys:
    """Zeros, version 0: also what a new application starts with."""
    zero = VersionedKey(factory_key(), 0)
    return Keys(zero, (zero,) * APPLICATION_KEYS)


def card_keys(management: IssuerKey, verification: IssuerKey, identity: CardIdentity) -> Keys:
    """A member's card's keys."""

    def of(issuer: IssuerKey, purpose: Purpose) -> VersionedKey:
        return VersionedKey(card_key(issuer, purpose, identity), issuer.version)

    application = (
        of(management, Purpose.MASTER),
        of(verification, Purpose.SALE),
        of(management, Purpose.SPARE),
    )
    return Keys(of(management, Purpose.PICC_MASTER), application)


def select(application: bytes) -> Command:
    """SelectApplication."""
    return native(_INS_SELECT, application, name=f"select application {application[::-1].hex().upper()}")


def select_application() -> Command:
    """SelectApplication of the loyalty application."""
    return select(APPLICATION)


def identify(visit: NativeVisit) -> Chip:
    """Select the card's own level and ask who this is; `CardUnexpected` if it is no DESFire."""
    visit.select(select(_PICC))
    chip = visit.chip()
    if chip.product & 0x0F != PRODUCT:
        raise CardUnexpected("The card on the reader is no DESFire.")
    return chip


def ask_uid(visit: NativeVisit, key: VersionedKey) -> bytes:
    """The UID of a card that shows a random one, asked under the card's own key."""
    visit.enter(Level("card", select(_PICC), KeyChange(MASTER, key, key)))
    return visit.real_uid()


def personalise(plan: Plan) -> list[Step[NativeVisit]]:
    """From a blank card to a member's card. `DefaultKey` before any of it."""
    refuse_default_keys(plan.new.all)
    card, application = plan.card_level(), plan.application_level()
    return [
        _application_step(card),
        _file_step(
            application, LABEL_FILE, _label_settings(), MAX_LABEL_BYTES, "Make the file for the label"
        ),
        _label_step(application, plan.label.encode()),
        _file_step(application, SALE_FILE, _sale_settings(), SALE_FILE_BYTES, "Make the file for sales"),
        *rotate_keys(plan)[:-1],
        _key_settings_step(card, _CARD_SETTINGS),
        master_key_step(card, "the card's own key"),
    ]


def rotate_keys(plan: Plan) -> list[Step[NativeVisit]]:
    """New keys for a member's card in the field; its content and settings stay as they are."""
    refuse_default_keys(plan.new.all)
    card, application = plan.card_level(), plan.application_level()
    old, new = plan.old.application, plan.new.application
    changes = {number: KeyChange(number, old[number], new[number]) for number in (SPARE_KEY, SALE_KEY)}
    return [
        key_step(application, changes[SPARE_KEY], "a key in the unused place"),
        key_step(application, changes[SALE_KEY], "the key that proves sales"),
        master_key_step(application, "the application's master key"),
        master_key_step(card, "the card's own key"),
    ]


def retire(plan: Plan) -> list[Step[NativeVisit]]:
    """To a card without our application, which stays closed to others. `plan.old` are the keys it holds.

    The card's own key stays the issuer's, so that the plastic may be used again.
    """
    card = plan.card_level()

    def is_done(visit: NativeVisit) -> bool:
        visit.enter(card)
        return APPLICATION not in _applications(visit)

    def perform(visit: NativeVisit) -> None:
        visit.enter(card)
        visit.call(_INS_DELETE, b"", APPLICATION, name="delete the application")

    return [
        Step("application", "Delete the application with its keys and files", is_done, perform),
        _key_settings_step(card, _CARD_SETTINGS),
    ]


def _application_step(card: Level) -> Step[NativeVisit]:
    def is_done(visit: NativeVisit) -> bool:
        visit.enter(card)
        return APPLICATION in _applications(visit)

    def perform(visit: NativeVisit) -> None:
        visit.enter(card)
        settings = bytes((_APPLICATION_SETTINGS, _AES | APPLICATION_KEYS))
        visit.call(_INS_CREATE, b"", APPLICATION + settings, name="create the application")

    return Step("application", "Create the application", is_done, perform)


def _applications(visit: NativeVisit) -> list[bytes]:
    raw = visit.call(_INS_LIST, name="list the applications")
    return [raw[at : at + 3] for at in range(0, len(raw), 3)]


def _file_step(level: Level, number: int, settings: bytes, size: int, intent: str) -> Step[NativeVisit]:
    def is_done(visit: NativeVisit) -> bool:
        visit.enter(level)
        if number not in visit.call(_INS_FILES, name="list the files"):
            return False
        found = visit.file_settings(number)
        if found[1:4] != settings or int.from_bytes(found[4:7], "little") != size:
            raise CardUnexpected(f"File {number} is there with other settings: somebody else made it.")
        return True

    def perform(visit: NativeVisit) -> None:
        visit.enter(level)
        data = bytes((number,)) + settings + size.to_bytes(3, "little")
        visit.call(_INS_CREATE_FILE, b"", data, name=f"create file {number}")

    return Step(f"file {number}: create", intent, is_done, perform)


def _label_step(level: Level, label: bytes) -> Step[NativeVisit]:
    content = label.ljust(MAX_LABEL_BYTES, b"\0")

    def is_done(visit: NativeVisit) -> bool:
        visit.enter(level)
        return visit.read(LABEL_FILE, MAX_LABEL_BYTES) == content

    def perform(visit: NativeVisit) -> None:
        visit.enter(level)
        visit.write(LABEL_FILE, content)

    return Step(f"file {LABEL_FILE}: content", "Write the card's label", is_done, perform)


def _key_settings_step(card: Level, wanted: int) -> Step[NativeVisit]:
    def is_done(visit: NativeVisit) -> bool:
        visit.enter(card)
        return visit.call(_INS_KEY_SETTINGS, name="get key settings")[:1] == bytes((wanted,))

    def perform(visit: NativeVisit) -> None:
        visit.enter(card)
        name = "change key settings"
        visit.call(_INS_CHANGE_KEY_SETTINGS, b"", bytes((wanted,)), CommMode.FULL, name=name)

    return Step("card: key settings", "Let only the card's own key create applications", is_done, perform)


def _label_settings() -> bytes:
    return bytes((_COMM_MAC,)) + _rights(read=FREE, write=MASTER, both=MASTER)


def _sale_settings() -> bytes:
    return bytes((_COMM_MAC,)) + _rights(read=SALE_KEY, write=SALE_KEY, both=SALE_KEY)


def _rights(read: int, write: int, both: int) -> bytes:
    return (read << 12 | write << 8 | both << 4 | MASTER).to_bytes(2, "little")


def read_label(visit: NativeVisit) -> CardLabel:
    """Whose card it says it is, without authentication."""
    visit.select(select_application())
    command = read_label_file()
    return parse_label(visit.call(_INS_READ, command.data, name=command.title))


def read_label_file() -> Command:
    """ReadData of the label's file in the selected application: `parse_label` reads the answer."""
    header = bytes((LABEL_FILE,)) + bytes(3) + MAX_LABEL_BYTES.to_bytes(3, "little")
    return native(_INS_READ, header, name="read the label")


def read_back(visit: NativeVisit, plan: Plan) -> Accepted:
    """Prove that a card is what `plan` made of it; `NotAccepted` if anything is otherwise. Every key is used
    once.
    """
    for step in personalise(plan):
        if not step.is_done(visit):
            raise NotAccepted(f"{step.intent}: this is not so on the card. Run its job again.")
    card, application = plan.card_level(), plan.application_level()
    visit.enter(card)
    if visit.real_uid() != plan.identity.uid:
        raise NotAccepted("The card has another UID than its keys were made for.")
    prove_keys(visit, [plan.new.card], "the card itself")
    visit.select(application.select)
    prove_keys(visit, plan.new.application, "the application")
    if read_label(visit) != plan.label:
        raise NotAccepted("The card's label reads otherwise.")
    keys = tuple((key.version, key.check_value) for key in plan.new.all)
    return Accepted(plan.identity.uid, plan.label, keys)
