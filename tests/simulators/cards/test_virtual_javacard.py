"""The virtual GlobalPlatform card keeps keys, life cycle, content and failures as the specification says."""

import pytest

from cards.apdu import CardRefused, Command, Response, Wire
from cards.crypto import CardKey
from cards.scp03 import SecurityLevel, StaticKeys, initialize, parse_put_key_answer, put_key
from simulators.cards.globalplatform.memory import LifeCycle
from tests.simulators.cards.gp_host import (
    APPLET,
    CHALLENGE,
    FACTORY,
    INSTALL,
    NEW,
    PACKAGE,
    ask,
    channel,
    fields,
    installed,
    tapped,
)

# The channel


@pytest.mark.parametrize("level", SecurityLevel)
def test_every_level_carries_commands_and_answers(level: SecurityLevel) -> None:
    opened = channel(tapped(), level=level)

    for _ in range(3):
        assert ask(opened, 0xF2, 0x80, 0x02, b"\x4f\0").status == 0x9000
        assert ask(opened, 0xCA, 0x00, 0x66).data[:2] == b"\x66\x30"
        with pytest.raises(CardRefused, match="6A88"):
            ask(opened, 0xF2, 0x40, 0x02, b"\x4f\0").expect("listing what is not there")


@pytest.mark.parametrize("size", [16, 24, 32])
def test_keys_of_every_size_are_put_and_open_the_card_again(size: int) -> None:
    card = tapped()
    keys = StaticKeys(*(CardKey(bytes(range(start, start + size))) for start in (0x10, 0x31, 0x53)))
    opened = channel(card)

    answer = opened.send(put_key(keys, 1, FACTORY.dek, replaces_version=0))
    parse_put_key_answer(keys, 1, answer.data)
    assert list(card.memory.key_sets) == [1], "the factory's set is gone"
    again = channel(card, keys)
    assert ask(again, 0xCA, 0x00, 0x66).status == 0x9000


def test_a_changed_command_closes_the_channel() -> None:
    card = tapped()
    channel(card)

    assert card.transmit(bytes.fromhex("84F28002024F0000")) == b"\x69\x82"
    assert ask(Wire(card), 0xF2, 0x80, 0x02, b"\x4f\0").status == 0x6982


def test_a_command_without_mac_closes_the_channel() -> None:
    card = tapped()
    opened = channel(card)

    assert ask(Wire(card), 0xF2, 0x80, 0x02, b"\x4f\0").status == 0x6982
    assert ask(opened, 0xF2, 0x80, 0x02, b"\x4f\0").status == 0x6982


def test_challenges_never_repeat_even_if_nobody_authenticates() -> None:
    wire = Wire(tapped())

    greetings = [initialize(wire, CHALLENGE) for _ in range(5)]
    assert len({greeting.card_challenge for greeting in greetings}) == 5
    assert [greeting.sequence for greeting in greetings] == [1, 2, 3, 4, 5]


def test_ten_wrong_proofs_block_a_key_set_for_good_and_probing_costs_none() -> None:
    card = tapped()
    wire = Wire(card)
    for _ in range(50):
        initialize(wire, CHALLENGE)
    wrong = bytes.fromhex("8482330010") + bytes(16)
    for _ in range(9):
        initialize(wire, CHALLENGE)
        assert card.transmit(wrong) == b"\x63\x00"
    channel(card)
    for _ in range(10):
        initialize(wire, CHALLENGE)
        assert card.transmit(wrong) == b"\x63\x00"

    with pytest.raises(CardRefused, match="6983"):
        initialize(wire, CHALLENGE)
    card.tap()
    with pytest.raises(CardRefused, match="6983"):
        initialize(wire, CHALLENGE)


def test_authentication_wants_a_fresh_greeting() -> None:
    card = tapped()

    assert card.transmit(bytes.fromhex("8482330010") + bytes(16)) == b"\x69\x85"
    assert card.transmit(bytes.fromhex("8050FE0008") + CHALLENGE + b"\0") == b"\x6a\x88"


# Keys


def test_a_wrong_check_value_changes_nothing() -> None:
    card = tapped()
    opened = channel(card)
    command = put_key(NEW, 1, FACTORY.dek, replaces_version=0)
    spoilt = Command(command.cla, command.ins, command.p1, command.p2, command.data[:-1] + b"\0", le=256)

    assert opened.send(spoilt).status == 0x9485
    assert list(card.memory.key_sets) == [0xFF]


def test_key_sets_stand_beside_each_other_until_deleted() -> None:
    card = tapped()
    channel(card).send(put_key(NEW, 1, FACTORY.dek, replaces_version=0)).expect("first")
    opened = channel(card, NEW)
    opened.send(put_key(FACTORY, 2, NEW.dek, replaces_version=0)).expect("second")

    assert channel(card, FACTORY, version=2).is_open
    opened = channel(card, NEW, version=1)
    assert ask(opened, 0xE4, data=b"\xd2\x01\x02") == Response(b"\0", 0x9000)
    assert ask(opened, 0xE4, data=b"\xd2\x01\x02").status == 0x6A88
    assert ask(opened, 0xE4, data=b"\xd2\x01\x01").status == 0x6985, "the last set stays"


def test_a_set_is_replaced_by_its_number() -> None:
    card = tapped()
    channel(card).send(put_key(NEW, 1, FACTORY.dek, replaces_version=0)).expect("first")
    opened = channel(card, NEW)

    assert opened.send(put_key(FACTORY, 2, NEW.dek, replaces_version=9)).status == 0x6A88
    opened.send(put_key(FACTORY, 2, NEW.dek, replaces_version=1)).expect("second")
    assert list(card.memory.key_sets) == [2]
    card.tap()
    assert ask(Wire(card), 0xCA, 0x00, 0xE0).data.hex() == "e012c00401028810c00402028810c00403028810"


# Life cycle


def test_the_life_cycle_goes_forward_only() -> None:
    card = tapped()
    opened = channel(card)

    assert ask(opened, 0xF0, 0x80, LifeCycle.SECURED).status == 0x6985, "not over INITIALIZED's head"
    assert ask(opened, 0xF0, 0x80, LifeCycle.INITIALIZED).status == 0x9000
    assert ask(opened, 0xF0, 0x80, LifeCycle.SECURED).status == 0x9000
    assert ask(opened, 0xF0, 0x80, LifeCycle.INITIALIZED).status == 0x6985
    assert ask(opened, 0xF2, 0x80, 0x02, b"\x4f\0").data.hex().endswith("9f70010fc5039efe80")


def test_a_secured_card_wants_macs() -> None:
    card = tapped()
    opened = channel(card)
    assert ask(channel(card, level=SecurityLevel.AUTHENTICATED), 0xF2, 0x80, 2, b"\x4f\0").status == 0x9000
    opened = channel(card)
    for state in (LifeCycle.INITIALIZED, LifeCycle.SECURED):
        ask(opened, 0xF0, 0x80, state).expect("SET STATUS")

    unsealed = channel(card, level=SecurityLevel.AUTHENTICATED)
    assert ask(unsealed, 0xF2, 0x80, 0x02, b"\x4f\0").status == 0x6982


def test_a_locked_card_opens_for_its_issuer_and_a_terminated_one_for_nobody() -> None:
    card = tapped()
    opened = installed(card)
    for state in (LifeCycle.INITIALIZED, LifeCycle.SECURED, LifeCycle.CARD_LOCKED):
        ask(opened, 0xF0, 0x80, state).expect("SET STATUS")
    assert card.transmit(b"\x00\xa4\x04\x00\x07" + APPLET + b"\0") == b"\x6a\x82"
    assert card.transmit(bytes.fromhex("00A4040000"))[-2:] == b"\x62\x83"
    ask(channel(card), 0xF0, 0x80, LifeCycle.SECURED).expect("unlocking")
    assert card.transmit(b"\x00\xa4\x04\x00\x07" + APPLET + b"\0")[-2:] == b"\x90\x00"

    card.tap()
    ask(channel(card), 0xF0, 0x80, LifeCycle.TERMINATED).expect("terminating")
    card.tap()
    with pytest.raises(CardRefused, match="6985"):
        initialize(Wire(card), CHALLENGE)
    assert ask(Wire(card), 0xCA, 0x9F, 0x7F).status == 0x9000, "who it was can still be read"


# Content


def test_an_applet_is_installed_once_listed_locked_and_deleted() -> None:
    card = tapped()
    opened = installed(card)

    assert ask(opened, 0xE6, 0x0C, 0, INSTALL).status == 0x6985
    listed = ask(opened, 0xF2, 0x40, 0x02, b"\x4f\0").data.hex()
    assert listed == "e3124f07f05641464101019f700107c503000000"
    assert ask(opened, 0xF0, 0x40, 0x80, APPLET).status == 0x9000
    assert card.transmit(b"\x00\xa4\x04\x00\x07" + APPLET + b"\0") == b"\x6a\x82"
    opened = channel(card)
    assert ask(opened, 0xF0, 0x40, 0x07, APPLET).status == 0x9000
    assert ask(opened, 0xE4, data=b"\x4f\x07" + APPLET) == Response(b"\0", 0x9000)
    assert ask(opened, 0xE4, data=b"\x4f\x07" + APPLET).status == 0x6A88
    assert ask(opened, 0xE4, data=b"\x4f\x06" + PACKAGE).status == 0x6985, "what is in ROM stays"


def test_content_is_managed_through_a_channel_only() -> None:
    card = tapped()

    assert ask(Wire(card), 0xE6, 0x0C, 0, INSTALL).status == 0x6982
    assert ask(Wire(card), 0xF0, 0x80, LifeCycle.TERMINATED).status == 0x6982
    assert card.memory.instances == {}


def test_a_module_that_is_not_there_and_code_to_load_are_refused() -> None:
    opened = channel(tapped())

    assert ask(opened, 0xE6, 0x0C, 0, fields(PACKAGE, PACKAGE, APPLET, b"\0", b"", b"")).status == 0x6A88
    assert ask(opened, 0xE6, 0x02, 0, fields(PACKAGE, b"", b"", b"", b"")).status == 0x6A81
    assert ask(opened, 0xE6, 0x0C, 0, b"\x06" + PACKAGE[:3]).status == 0x6A80


def test_long_lists_come_in_pages() -> None:
    card = tapped()
    opened = channel(card, level=SecurityLevel.C_MAC)
    for number in range(16):
        aid = APPLET + bytes([number])
        ask(opened, 0xE6, 0x0C, 0, fields(PACKAGE, APPLET, aid, b"\0", b"\xc9\0", b"")).expect("INSTALL")

    pages = [ask(opened, 0xF2, 0x40, 0x02, b"\x4f\0")]
    while pages[-1].status == 0x6310:
        pages.append(ask(opened, 0xF2, 0x40, 0x03, b"\x4f\0"))
    assert pages[-1].status == 0x9000
    assert len(pages) == 2
    assert b"".join(page.data for page in pages).count(APPLET) == 16


def test_too_small_a_length_is_answered_with_the_right_one() -> None:
    card = tapped()

    assert card.transmit(bytes.fromhex("80CA006601")) == b"\x6c\x32"
    assert card.transmit(bytes.fromhex("80CA006632"))[-2:] == b"\x90\x00"


def test_only_the_basic_channel_is_there() -> None:
    card = tapped()

    assert card.transmit(bytes.fromhex("81CA006600")) == b"\x68\x81"
    assert card.transmit(bytes.fromhex("A0CA006600")) == b"\x6e\x00"
