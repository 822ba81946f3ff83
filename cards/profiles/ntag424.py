"""NTAG 424 DNA as a member's card (NT4H2421Gx, AN12196).

| key | what it is | domain |
| --- | --- | --- |
| 0 | master: settings, content, all other keys; the way back in | management |
| 1 | proves a sale: writes its hash to file 3, MACed | verification |
| 2 | opens encrypted taps; one for all cards of the issuer | verification |
| 3 | signs taps | verification |
| 4 | unused, and so no default | management |

File 2 holds the address that everybody reads, with issuer id and alias in it; file 3 is for the hash of a
sale. The UID stays as it is: random UIDs are off, as tills route by the alias.
"""

from dataclasses import dataclass

from cards.apdu import Command, StatusWord
from cards.crypto import BLOCK_BYTES
from cards.keys import (
    RETIRED_VERSION_BIT,
    CardIdentity,
    CardProfile,
    IssuerKey,
    Purpose,
    card_key,
    factory_key,
    issuer_wide_key,
)
from cards.profiles.address import LAYOUT, NdefFile, label_in, ndef_file, parse_ndef_file
from cards.profiles.label import CardLabel
from cards.profiles.native_card import (
    FREE,
    MASTER,
    NEVER,
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
from cards.sun import PiccData, mac_is_right, open_picc_data, parse_tap

PRODUCT = 0x04
APPLICATION = bytes.fromhex("D2760000850101")
SALE_KEY, TAP_META_KEY, TAP_MAC_KEY, SPARE_KEY = 1, 2, 3, 4
KEYS = 5
NDEF_FILE, SALE_FILE = 2, 3
_NDEF_BYTES = 256
_NDEF_ISO_ID = bytes.fromhex("E104")
_COMM_MAC, _SDM = 0x01, 0x40
_SDM_UID_COUNTER_ASCII = 0xC1
_WHAT = {
    SALE_KEY: "the key that proves sales",
    TAP_META_KEY: "the issuer's key that opens taps",
    TAP_MAC_KEY: "the key that signs taps",
    SPARE_KEY: "a key in the unused place",
}

Keys = tuple[VersionedKey, ...]
"""Keys 0 to 4."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one card shall become. `old` are its keys so far: the factory's, or those of the version
    before.
    """

    identity: CardIdentity
    label: CardLabel
    address_base: str
    """What stands before the parameters: an https address of the merchant's."""
    old: Keys
    new: Keys

    def __post_init__(self) -> None:
        if len(self.old) != KEYS or len(self.new) != KEYS:
            raise ValueError(f"an NTAG 424 DNA has {KEYS} keys")
        if self.label.alias != self.identity.alias or self.identity.profile is not CardProfile.NTAG424:
            raise ValueError("the label and the identity name two different cards")

    @property
    def file(self) -> NdefFile:
        """The content of file 2."""
        return ndef_file(self.address_base, self.label)

    def level(self) -> Level:
        """The card's one application."""
        return Level(
            "NTAG 424 DNA", select_application(), KeyChange(MASTER, self.old[MASTER], self.new[MASTER])
        )


def factory_keys() -> Keys:
    """Five times zero, version 0."""
    return (VersionedKey(factory_key(), 0),) * KEYS


def card_keys(management: IssuerKey, verification: IssuerKey, identity: CardIdentity) -> Keys:
    """A member's card's five keys."""
    return (
        VersionedKey(card_key(management, Purpose.MASTER, identity), management.version),
        VersionedKey(card_key(verification, Purpose.SALE, identity), verification.version),
        VersionedKey(issuer_wide_key(verification, Purpose.TAP_META), verification.version),
        VersionedKey(card_key(verification, Purpose.TAP_MAC, identity), verification.version),
        VersionedKey(card_key(management, Purpose.SPARE, identity), management.version),
    )


def retired_keys(management: IssuerKey, identity: CardIdentity) -> Keys:
    """What a retired card holds: the master key as it was, and one key that verifies nothing in all other
    places.
    """
    master = VersionedKey(card_key(management, Purpose.MASTER, identity), management.version)
    dead = VersionedKey(
        card_key(management, Purpose.RETIRED, identity), management.version | RETIRED_VERSION_BIT
    )
    return (master, *(dead,) * (KEYS - 1))


def select_application() -> Command:
    """ISO SELECT of the card's application."""
    return Command(0x00, 0xA4, 0x04, 0x0C, APPLICATION, name="select the NTAG's application")


def identify(visit: NativeVisit) -> Chip:
    """Select the application and ask who this is; `CardUnexpected` if it is no NTAG."""
    visit.select(select_application())
    chip = visit.chip()
    if chip.product & 0x0F != PRODUCT:
        raise CardUnexpected("The card on the reader is no NTAG 424 DNA.")
    return chip


def ask_uid(visit: NativeVisit, key: VersionedKey) -> bytes:
    """The UID of a card that shows a random one, asked under its key 0."""
    unchanged = KeyChange(MASTER, key, key)
    visit.enter(Level("NTAG 424 DNA", select_application(), unchanged))
    return visit.real_uid()


def personalise(plan: Plan) -> list[Step[NativeVisit]]:
    """From a blank card, or from one of the version before, to a member's card. `DefaultKey` before any of
    it.
    """
    refuse_default_keys(plan.new)
    level, file = plan.level(), plan.file
    return [
        _content_step(level, file.content),
        _settings_step(level, SALE_FILE, _sale_settings(), "Let the sale key alone write the sale file"),
        _settings_step(level, NDEF_FILE, _tap_settings(file), "Make every tap different and signed"),
        *_key_steps(plan, level),
        master_key_step(level, "the master key"),
    ]


def rotate_keys(plan: Plan) -> list[Step[NativeVisit]]:
    """New keys for a member's card in the field; its content and settings stay as they are."""
    refuse_default_keys(plan.new)
    return [*_key_steps(plan, plan.level()), master_key_step(plan.level(), "the master key")]


def retire(plan: Plan) -> list[Step[NativeVisit]]:
    """To a card that says nothing, taps nothing and proves nothing. `plan.new` are `retired_keys`.

    The way back in stays the issuer's, so that the plastic may be used again.
    """
    level, closed = plan.level(), _closed_settings()
    return [
        _settings_step(level, NDEF_FILE, closed, "End taps, and let nobody read the address"),
        _settings_step(level, SALE_FILE, closed, "Close the sale file"),
        _content_step(level, bytes(len(plan.file.content))),
        *_key_steps(plan, level),
    ]


def _key_steps(plan: Plan, level: Level) -> list[Step[NativeVisit]]:
    numbers = (SPARE_KEY, TAP_MAC_KEY, TAP_META_KEY, SALE_KEY)
    changes = (KeyChange(number, plan.old[number], plan.new[number]) for number in numbers)
    return [key_step(level, change, _WHAT[change.number]) for change in changes]


def _content_step(level: Level, content: bytes) -> Step[NativeVisit]:
    def is_done(visit: NativeVisit) -> bool:
        visit.enter(level)
        return visit.read(NDEF_FILE, len(content)) == content

    def perform(visit: NativeVisit) -> None:
        visit.enter(level)
        visit.write(NDEF_FILE, content)

    intent = "Write the card's address" if any(content) else "Erase the card's address"
    return Step(f"file {NDEF_FILE}: content", intent, is_done, perform)


def _settings_step(level: Level, number: int, wanted: bytes, intent: str) -> Step[NativeVisit]:
    def is_done(visit: NativeVisit) -> bool:
        visit.enter(level)
        found = visit.file_settings(number)
        return found[1:4] + found[7:] == wanted  # without the type before, and the size between

    def perform(visit: NativeVisit) -> None:
        visit.enter(level)
        visit.change_file_settings(number, wanted)

    return Step(f"file {number}: settings", intent, is_done, perform)


def _rights(read: int, write: int, both: int, change: int = MASTER) -> bytes:
    return (read << 12 | write << 8 | both << 4 | change).to_bytes(2, "little")


def _sale_settings() -> bytes:
    return bytes((_COMM_MAC,)) + _rights(SALE_KEY, SALE_KEY, NEVER)


def _closed_settings() -> bytes:
    return bytes((_COMM_MAC,)) + _rights(MASTER, MASTER, MASTER)


def _tap_settings(file: NdefFile) -> bytes:
    # Order of the offsets: PICC data, where the MAC's input begins, the MAC (NT4H2421Gx table 69).
    rights = (TAP_META_KEY << 12 | TAP_MAC_KEY << 8 | NEVER << 4 | NEVER).to_bytes(2, "little")
    offsets = (file.picc_at, file.covered_from, file.mac_at)
    return (
        bytes((_SDM | _COMM_MAC,))
        + _rights(FREE, MASTER, MASTER)
        + bytes((_SDM_UID_COUNTER_ASCII,))
        + rights
        + b"".join(offset.to_bytes(3, "little") for offset in offsets)
    )


def read_address(visit: NativeVisit) -> str:
    """The address as any phone or till reads it, without authentication. It counts as a tap."""
    visit.select(select_application())
    by_id, read = select_address_file(), read_address_file()
    visit.card.send(by_id).expect(by_id.title)
    return parse_ndef_file(visit.card.send(read).expect(read.title, StatusWord.OK))


def select_address_file() -> Command:
    """ISO SELECT of file 2 in the selected application."""
    return Command(0x00, 0xA4, 0x00, 0x0C, _NDEF_ISO_ID, name="select the address file")


def read_address_file() -> Command:
    """READ BINARY of the selected file, whole: `parse_ndef_file` reads the answer."""
    return Command(0x00, 0xB0, 0, 0, le=_NDEF_BYTES, name="read the address")


def read_label(visit: NativeVisit) -> CardLabel:
    """Whose card it says it is, without authentication."""
    return label_in(read_address(visit))


def read_back(visit: NativeVisit, plan: Plan) -> Accepted:
    """Prove that a card is what `plan` made of it; `NotAccepted` if anything is otherwise.

    Every key is used once: a version on the card proves nothing of the key beside it.
    """
    refuse_default_keys(plan.new)
    level = plan.level()
    for step in personalise(plan):
        if not step.is_done(visit):
            raise NotAccepted(f"{step.intent}: this is not so on the card. Run its job again.")
    visit.enter(level)
    if visit.real_uid() != plan.identity.uid:
        raise NotAccepted("The card has another UID than its keys were made for.")
    prove_keys(visit, plan.new, "the card")
    counter = _tested_tap(read_address(visit), plan)
    keys = tuple((key.version, key.check_value) for key in plan.new)
    return Accepted(plan.identity.uid, plan.label, keys, counter)


def _tested_tap(address: str, plan: Plan) -> int:
    tap = parse_tap(address, LAYOUT)
    picc = open_picc_data(plan.new[TAP_META_KEY].key, tap.encrypted_picc or bytes(BLOCK_BYTES))
    mine = isinstance(picc, PiccData) and picc.uid == plan.identity.uid
    if not mine or picc is None or picc.counter is None:
        raise NotAccepted("The card's tap does not open with the issuer's key.")
    if not mac_is_right(plan.new[TAP_MAC_KEY].key, picc, tap.covered, tap.mac):
        raise NotAccepted("The card's tap is not signed by its own key.")
    return picc.counter
