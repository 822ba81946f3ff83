from dataclasses import replace

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from cards.apdu import CardRefused, Command, Processor, Response, Wire
from cards.keys import CardIdentity, CardProfile
from cards.profiles import desfire, javacard, ntag424
from cards.profiles.address import check_base, label_in, ndef_file, parse_ndef_file
from cards.profiles.globalplatform import GlobalPlatformVisit, LifeCycle
from cards.profiles.label import CardLabel, LabelUnreadable, parse_label, take_tlv, tlv
from cards.profiles.native_card import NativeVisit
from cards.profiles.steps import CardUnexpected, NotAccepted
from tests.cards.bureau import ADDRESS_BASE, DESFIRE, JAVACARD, LABEL, NTAG, a_bureau, a_members_card
from tests.cards.scripted_card import ScriptedCard

aliases = st.text("0123456789ABCDEFXYZ", min_size=1, max_size=16)
issuers = st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True)
labels = st.builds(CardLabel, issuers, aliases)


@examples(labels)
def test_a_label_is_read_back_from_a_file_with_zeros_behind_it(label: CardLabel) -> None:
    assert len(label.encode()) <= 64
    assert parse_label(label.encode().ljust(64, b"\0")) == label


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "00" * 64,
        "DF2103",
        "DF2101 41 DF220131",
        "DF2101 61 DF2101 61 DF220131",
        "DF2101FF DF220131",
        "DF2101 61",
        "DF2185 61",
        "DF",
    ],
)
def test_what_is_no_label_is_refused(raw: str) -> None:
    with pytest.raises(LabelUnreadable):
        parse_label(bytes.fromhex(raw))


@examples(st.sampled_from([0x4F, 0xDF21, 0x9F70]), st.binary(max_size=127), st.binary(max_size=4))
def test_an_object_is_taken_off_whatever_follows_it(tag: int, value: bytes, rest: bytes) -> None:
    assert take_tlv(tlv(tag, value) + rest) == (tag, value, rest)


def test_objects_with_long_lengths_are_read_too() -> None:
    assert take_tlv(b"\x4f\x81\x80" + bytes(128) + b"x") == (0x4F, bytes(128), b"x")
    assert take_tlv(b"\x4f\x82\x01\x00" + bytes(256)) == (0x4F, bytes(256), b"")
    with pytest.raises(ValueError, match="127"):
        tlv(0x4F, bytes(128))


@examples(labels)
def test_an_address_shows_its_label_and_the_card_writes_where_it_should(label: CardLabel) -> None:
    file = ndef_file(ADDRESS_BASE, label)
    address = parse_ndef_file(file.content.ljust(256, b"\0"))
    assert label_in(address) == label
    assert len(file.content) <= 256
    assert file.content[file.picc_at : file.picc_at + 32] == b"0" * 32
    assert file.content[file.picc_at - 3 : file.picc_at] == b"&p="
    assert file.content[file.mac_at :] == b"0" * 16
    assert file.content[file.covered_from :].startswith(label.issuer.encode())
    assert file.content[file.covered_from - 3 : file.covered_from] == b"?i="


def test_the_longest_label_and_address_fit_the_file() -> None:
    longest = CardLabel("a" * 40, "9" * 16)
    base = "https://" + "x" * 72
    file = ndef_file(base, longest)
    assert len(file.content) <= 256
    assert file.content[4] == len(file.content) - 6  # the payload's length, of one byte


@pytest.mark.parametrize(
    "base",
    [
        "http://a.example",
        "https://a.example/?x",
        "https://a b",
        "https://ا",
        "https://" + "x" * 73,
        "",
        "https://a#b",
    ],
)
def test_a_base_that_is_no_plain_https_address_is_refused(base: str) -> None:
    with pytest.raises(ValueError, match="https"):
        check_base(base)


@pytest.mark.parametrize(
    "content", [b"", bytes(256), b"\0\5\xd1\1\1U\4", b"\0\6\xd1\1\2U\3a", b"\0\7\xd1\1\\9U\4ab"]
)
def test_a_file_without_an_https_address_is_told(content: bytes) -> None:
    with pytest.raises(LabelUnreadable):
        label_in(parse_ndef_file(content))


@pytest.mark.parametrize("module", [ntag424, desfire, javacard], ids=["ntag424", "desfire", "javacard"])
def test_a_plan_is_of_one_card(module: object) -> None:
    kind = {ntag424: NTAG, desfire: DESFIRE, javacard: JAVACARD}[module]  # type: ignore[index]  # a module is hashable
    with pytest.raises(ValueError, match="two different cards"):
        replace(kind.plan(), label=CardLabel("saffron", "1"))
    other = CardProfile.DESFIRE if kind is not DESFIRE else CardProfile.NTAG424
    with pytest.raises(ValueError, match="two different cards"):
        replace(kind.plan(), identity=CardIdentity(other, bytes(7), LABEL.alias))


def test_a_javacard_without_the_applets_package_is_told_before_anything_is_installed() -> None:
    from simulators.cards.globalplatform.card import GlobalPlatformCard

    bureau = a_bureau(JAVACARD)
    assert isinstance(bureau.card, GlobalPlatformCard)

    class WithoutPackage(GlobalPlatformVisit):
        def status(self, scope: object, aid: bytes = b"") -> dict[bytes, int]:
            return {}

    bureau.card.tap()
    visit = WithoutPackage(Wire(bureau.card), lambda size: bytes(range(size)))
    with pytest.raises(CardUnexpected, match="package is not on the card"):
        bureau.run(javacard.personalise(JAVACARD.plan()), visit)
    assert not bureau.card.memory.instances


def test_a_javacard_whose_life_cycle_went_further_is_not_accepted() -> None:
    bureau = a_members_card(JAVACARD)
    bureau.card.memory.life_cycle = LifeCycle.CARD_LOCKED
    with pytest.raises((NotAccepted, CardRefused)):
        bureau.read_back()


def test_a_javacard_of_another_chip_is_not_accepted() -> None:
    bureau = a_members_card(JAVACARD)
    bureau.card.memory.diversification = b"OTHERCHIP0"
    with pytest.raises(NotAccepted, match="another chip"):
        bureau.read_back()


@pytest.mark.parametrize("kind", [NTAG, DESFIRE], ids=lambda kind: kind.name)
def test_a_card_with_another_uid_than_its_keys_is_not_accepted(kind: object) -> None:
    assert kind in (NTAG, DESFIRE)
    bureau = a_members_card(NTAG if kind is NTAG else DESFIRE)
    bureau.card.memory.uid = bytes(range(7))
    with pytest.raises(NotAccepted, match="another UID"):
        bureau.read_back()


def test_a_key_of_a_version_that_nobody_planned_is_left_as_it_is() -> None:
    bureau = a_bureau(NTAG)
    bureau.card.memory.keys[3].version = 9
    with pytest.raises(CardUnexpected, match="key 3 has version 9"):
        bureau.personalise()
    assert bureau.card.memory.keys[3].value == bytes(16)


def test_a_desfire_file_of_somebody_else_is_left_as_it_is() -> None:
    bureau = a_members_card(DESFIRE)
    application = next(iter(bureau.card.memory.applications.values()))
    application.files[3].rights = 0xEEEE
    with pytest.raises(CardUnexpected, match="somebody else made it"):
        bureau.personalise()


def test_a_desfire_keeps_what_others_put_on_it() -> None:
    bureau = a_bureau(DESFIRE)
    visit = bureau.visit()
    visit.select(desfire.select(bytes(3)))
    visit.call(0xCA, b"", bytes.fromhex("0102030B81"), name="somebody else's application")
    bureau.personalise()
    assert bureau.read_back().label == LABEL
    bureau.run(desfire.retire(DESFIRE.plan(old=DESFIRE.keys())))
    assert set(bureau.card.memory.applications) == {0x030201}


@pytest.mark.parametrize("answer", ["9100", "0404 9100"])
def test_a_card_that_tells_too_little_of_itself_is_no_native_card(answer: str) -> None:
    visit = NativeVisit(Wire(ScriptedCard(("9060000000", answer))), bytes)
    with pytest.raises(CardUnexpected, match="too short"):
        visit.chip()


def test_no_secret_command_goes_out_without_a_channel() -> None:
    card = ScriptedCard()
    visit = GlobalPlatformVisit(Wire(card), bytes)
    with pytest.raises(CardUnexpected, match="no channel"):
        visit.store(javacard.APPLET, b"x")
    assert card.heard == []


class AnotherTap:
    """A card whose free reading shows what it should not."""

    def __init__(self, honest: Processor, address: str) -> None:
        self._honest, self._address = honest, address

    def send(self, command: Command) -> Response:
        answer = self._honest.send(command)
        if command.ins != 0xB0:
            return answer
        message = b"\xd1\x01" + bytes((len(self._address) - 7,)) + b"U\x04" + self._address[8:].encode()
        return Response(len(message).to_bytes(2, "big") + message, 0x9000)


def test_a_card_whose_tap_does_not_verify_is_not_accepted() -> None:
    bureau = a_members_card(NTAG)
    good = ntag424.read_address(bureau.visit())
    other = a_members_card(NTAG)
    other.card.memory.uid = bytes(range(7))
    foreign = ntag424.read_address(other.visit())
    forged = good[:-1] + ("0" if good[-1] != "0" else "1")
    for address, words in ((forged, "not signed by its own key"), (foreign, "does not open")):
        bureau.card.tap()
        visit = NativeVisit(AnotherTap(Wire(bureau.card), address), lambda size: bytes(range(size)))
        with pytest.raises(NotAccepted, match=words):
            ntag424.read_back(visit, NTAG.plan())
    bureau.card.tap()
    visit = NativeVisit(AnotherTap(Wire(bureau.card), good), lambda size: bytes(range(size)))
    assert ntag424.read_back(visit, NTAG.plan()).tap_counter == 1
