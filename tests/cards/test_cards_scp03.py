import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from cards.apdu import (
    ApduMalformed,
    CardLost,
    CardRefused,
    Command,
    CommandChaining,
    Response,
    Trace,
    Wire,
    parse_command,
)
from cards.crypto import CardKey
from cards.keys import gp_check_value
from cards.scp03 import (
    CardNotAuthentic,
    ChannelBroken,
    ChannelNotOffered,
    SecureChannel,
    SecurityLevel,
    StaticKeys,
    derive_session_keys,
    external_authenticate,
    holds,
    initialize,
    max_data_bytes,
    open_channel,
    parse_greeting,
    parse_put_key_answer,
    put_key,
    unwrap,
    wrap,
)
from cards.scp03.put_key import KeysNotTaken
from tests.cards.card_vectors import Vector, expected, given, key, vectors
from tests.cards.scp03_card import EchoCard
from tests.cards.scripted_card import ScriptedCard

CHALLENGE = bytes(range(8))
LEVELS = list(SecurityLevel)
WITH_R_MAC = [level for level in SecurityLevel if level.macs_responses]


def a_key_set(size: int = 16, first: int = 1) -> StaticKeys:
    return StaticKeys(*(CardKey(bytes(range(first + at, first + at + size))) for at in (0, 40, 80)))


def static_keys(vector: Vector) -> StaticKeys:
    return StaticKeys(key(vector, "static_enc"), key(vector, "static_mac"), key(vector, "static_dek"))


def an_open_channel(card: EchoCard, level: SecurityLevel) -> SecureChannel:
    wire = Wire(card)
    return open_channel(wire, initialize(wire, bytes(card.size)), card.keys, level)


@pytest.mark.parametrize("vector", vectors("scp03_session"))
def test_the_published_sessions_come_out_byte_by_byte(vector: Vector) -> None:
    keys, level = static_keys(vector), SecurityLevel(int(vector["input"]["security_level"], 16))
    opening = parse_command(given(vector, "init_update_cmd"))
    greeting = parse_greeting(opening.data, given(vector, "init_update_rsp"))
    derived = derive_session_keys(keys, greeting.host_challenge, greeting.card_challenge)
    assert derived.enc == CardKey(expected(vector, "s_enc"))
    assert derived.mac == CardKey(expected(vector, "s_mac"))
    assert derived.rmac == CardKey(expected(vector, "s_rmac"))
    session, command = external_authenticate(greeting, keys, level)
    assert command.data.startswith(expected(vector, "host_cryptogram"))
    assert command.encode() == expected(vector, "ext_auth_cmd")

    session, protected = wrap(session, parse_command(bytes.fromhex(vector["input"]["plain"]["get_eid"])))
    assert protected.encode() == expected(vector, "get_eid_cmd")
    answer = unwrap(session, Response(expected(vector, "get_eid_rsp"), 0x9000))
    assert answer.data.hex() == "bf3e125a1089882119900000000000000000000005"
    for case in ("case_1", "case_2", "case_3", "case_4"):
        session, protected = wrap(session, parse_command(bytes.fromhex(vector["input"]["plain"][case])))
        assert protected.encode() == expected(vector, f"{case}_apdu")


@pytest.mark.parametrize("vector", vectors("scp03_session"))
def test_the_host_begins_the_published_sessions_as_recorded(vector: Vector) -> None:
    opening = given(vector, "init_update_cmd")
    card = ScriptedCard((opening.hex(), f"{vector['input']['init_update_rsp']} 9000"))
    greeting = initialize(Wire(card), parse_command(opening).data, key_version=opening[2])
    assert holds(greeting, static_keys(vector))


@pytest.mark.parametrize(("mode", "i"), [(8, 0x70), (8, 0x60), (16, 0x71)])
@pytest.mark.parametrize("size", [16, 24, 32])
@pytest.mark.parametrize("level", LEVELS)
def test_every_level_carries_data_both_ways_with_every_key_size(
    level: SecurityLevel, size: int, mode: int, i: int
) -> None:
    card = EchoCard(a_key_set(size), i=i, size=mode)
    channel = an_open_channel(card, level)
    assert card.level == level
    for data in (b"first", b"", bytes(16), b"last"):
        sent = Command(0x80, 0xE2, 0x90, 0x00, data, le=256 if data else None)
        assert channel.send(sent) == Response(data, 0x9000)


@examples(
    st.lists(st.binary(max_size=max_data_bytes(SecurityLevel.ALL)), max_size=6), st.sampled_from(LEVELS)
)
def test_whatever_is_sent_comes_back_through_any_level(messages: list[bytes], level: SecurityLevel) -> None:
    channel = an_open_channel(EchoCard(a_key_set()), level)
    for data in messages:
        assert channel.send(Command(0x80, 0xE2, 0x90, 0x00, data)).data == data


@pytest.mark.parametrize("level", LEVELS)
def test_encryption_hides_the_data_and_the_lower_levels_do_not_pretend_to(level: SecurityLevel) -> None:
    card = EchoCard(a_key_set())
    an_open_channel(card, level).send(Command(0x80, 0xE2, 0x90, 0x00, b"in the clear?"))
    assert (b"in the clear?" in card.heard[-1]) is not level.encrypts_commands


def test_a_command_without_data_encrypts_nothing_and_yet_counts() -> None:
    card = EchoCard(a_key_set())
    channel = an_open_channel(card, SecurityLevel.ALL)
    channel.send(Command(0x80, 0xF2, 0x90, 0x00))
    assert card.heard[-1][4] == 8  # the MAC alone
    # The card counted the empty command; an uncounted one would make this undecipherable for it.
    assert channel.send(Command(0x80, 0xE2, 0x90, 0x00, b"after")).data == b"after"


@pytest.mark.parametrize("level", WITH_R_MAC)
def test_the_mac_of_an_answer_is_checked_also_when_it_has_no_data(level: SecurityLevel) -> None:
    card = EchoCard(a_key_set())
    channel = an_open_channel(card, level)
    card.tamper = 1
    with pytest.raises(ChannelBroken, match="MAC of the card's answer is wrong"):
        channel.send(Command(0x80, 0xE2, 0x90, 0x00))


@pytest.mark.parametrize("level", WITH_R_MAC)
def test_an_answer_stripped_of_its_mac_is_not_believed(level: SecurityLevel) -> None:
    channel = an_open_channel(EchoCard(a_key_set()), level)
    session, _ = wrap(channel._session, Command(0x80, 0xE2, 0x90, 0x00))  # type: ignore[arg-type]  # an open channel has a session
    with pytest.raises(ChannelBroken, match="carries no MAC"):
        unwrap(session, Response(b"", 0x9000))


@pytest.mark.parametrize("level", WITH_R_MAC)
def test_a_warning_carries_a_mac_and_so_is_believed(level: SecurityLevel) -> None:
    card = EchoCard(a_key_set())
    channel = an_open_channel(card, level)
    assert channel.send(Command(0x80, 0xE2, 0x63, 0x10, b"warned")) == Response(b"warned", 0x6310)
    card.tamper = 2
    with pytest.raises(ChannelBroken):
        channel.send(Command(0x80, 0xE2, 0x62, 0x00, b"warned"))


@pytest.mark.parametrize("level", LEVELS)
def test_an_error_carries_no_mac_and_leaves_the_channel_open(level: SecurityLevel) -> None:
    channel = an_open_channel(EchoCard(a_key_set()), level)
    assert channel.send(Command(0x80, 0xE2, 0x6A, 0x88, b"x")) == Response(b"", 0x6A88)
    assert channel.send(Command(0x80, 0xE2, 0x90, 0x00, b"still open")).data == b"still open"


def test_data_beside_an_error_is_dropped_since_nothing_protects_it() -> None:
    channel = an_open_channel(EchoCard(a_key_set()), SecurityLevel.ALL)
    session, _ = wrap(channel._session, Command(0x80, 0xE2, 0, 0))  # type: ignore[arg-type]  # an open channel has a session
    assert unwrap(session, Response(b"forged", 0x6A80)) == Response(b"", 0x6A80)


@pytest.mark.parametrize("at", range(1, 25))
def test_every_tampered_byte_of_an_answer_is_noticed_and_ends_the_channel(at: int) -> None:
    card = EchoCard(a_key_set())
    channel = an_open_channel(card, SecurityLevel.ALL)
    card.tamper = at
    with pytest.raises(ChannelBroken):
        channel.send(Command(0x80, 0xE2, 0x90, 0x00, b"sixteen bytes.."))
    heard = len(card.heard)
    with pytest.raises(ChannelBroken, match="Nothing was sent"):
        channel.send(Command(0x80, 0xE2, 0x90, 0x00))
    assert len(card.heard) == heard


def test_a_card_that_left_ends_the_channel() -> None:
    class Leaving(EchoCard):
        def transmit(self, apdu: bytes) -> bytes:
            if apdu[1] == 0xE2:
                raise CardLost("gone")
            return super().transmit(apdu)

    channel = an_open_channel(Leaving(a_key_set()), SecurityLevel.ALL)
    with pytest.raises(CardLost):
        channel.send(Command(0x80, 0xE2, 0x90, 0x00))
    assert not channel.is_open


@pytest.mark.parametrize("level", LEVELS)
def test_a_wrong_key_is_found_out_before_the_card_can_count_a_failure(level: SecurityLevel) -> None:
    card = EchoCard(a_key_set())
    greeting = initialize(Wire(card), CHALLENGE)
    with pytest.raises(CardNotAuthentic, match="Nothing was sent"):
        open_channel(Wire(card), greeting, a_key_set(first=9), level)
    assert len(card.heard) == 1
    assert card.failures == 0


def test_many_key_sets_are_tried_with_one_greeting_and_no_try_of_the_card() -> None:
    card = EchoCard(a_key_set(first=5))
    greeting = initialize(Wire(card), CHALLENGE)
    assert [first for first in range(1, 9) if holds(greeting, a_key_set(first=first))] == [5]
    assert card.failures == 0
    assert greeting.diversification_data == b"CHIPNUMBER"
    assert (greeting.key_version, greeting.sequence) == (0x30, 7)


def test_a_key_version_that_the_card_lacks_is_refused_by_name() -> None:
    with pytest.raises(CardRefused, match=r"key version 2.*no such data or key"):
        initialize(Wire(EchoCard(a_key_set())), CHALLENGE, key_version=2)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("00" * 10 + "30 02 70" + "00" * 19, "no SCP03"),
        ("00" * 5, "no SCP03"),
        ("00" * 10 + "30 03 70" + "00" * 16, "16|29 bytes"),
        ("00" * 10 + "30 03 71" + "00" * 19, "mode S16"),
    ],
)
def test_a_greeting_that_is_not_scp03_in_the_mode_asked_for_is_refused(data: str, words: str) -> None:
    with pytest.raises(ChannelNotOffered, match=words):
        parse_greeting(CHALLENGE, bytes.fromhex(data))


@pytest.mark.parametrize(
    ("i", "offered"), [(0x10, {0, 1, 3}), (0x30, {0, 1, 3, 0x11, 0x13}), (0x70, set(LEVELS))]
)
def test_a_card_is_not_asked_for_a_level_that_it_does_not_offer(i: int, offered: set[int]) -> None:
    for level in LEVELS:
        card = EchoCard(a_key_set(), i=i)
        if level in offered:
            assert an_open_channel(card, level).is_open
        else:
            with pytest.raises(ChannelNotOffered, match="cannot protect answers"):
                an_open_channel(card, level)
            assert len(card.heard) == 1


def test_a_card_that_refuses_the_host_is_told_by_its_status() -> None:
    class Refusing(EchoCard):
        def _authenticate(self, apdu: bytes) -> bytes:
            return b"\x69\x83"

    with pytest.raises(CardRefused, match="authentication is blocked"):
        an_open_channel(Refusing(a_key_set()), SecurityLevel.ALL)


@pytest.mark.parametrize("level", LEVELS)
def test_the_most_that_fits_is_sent_and_one_byte_more_is_refused_before_it_is_sent(
    level: SecurityLevel,
) -> None:
    card = EchoCard(a_key_set())
    channel = an_open_channel(card, level)
    most = bytes(max_data_bytes(level))
    channel.send(Command(0x80, 0xE2, 0x90, 0x00, most))
    heard = len(card.heard)
    if level.macs_commands:
        with pytest.raises(ApduMalformed, match="too long"):
            channel.send(Command(0x80, 0xE2, 0x90, 0x00, most + b"x"))
        assert len(card.heard) == heard


def test_a_logical_channel_is_kept_on_the_wire_and_left_out_of_the_mac() -> None:
    card = EchoCard(a_key_set())
    channel = an_open_channel(card, SecurityLevel.C_MAC)
    assert channel.send(Command(0x82, 0xE2, 0x90, 0x00, b"two")).data == b"two"
    assert card.heard[-1][0] == 0x86


def test_a_secret_command_stays_hidden_below_the_channel() -> None:
    card, lines = EchoCard(a_key_set()), list[str]()
    below = Trace(CommandChaining(Wire(card)), lines.append)
    channel = open_channel(below, initialize(below, CHALLENGE), card.keys, SecurityLevel.C_MAC)
    channel.send(put_key(a_key_set(first=3), 2, card.keys.dek, replaces_version=0))
    shown = lines[-2].replace(" ", "").lower()
    assert "bytes hidden" in lines[-2]
    assert card.heard[-1][5:].hex() not in shown
    for raw in (new.raw for new in (a_key_set(first=3).enc, a_key_set(first=3).mac)):
        assert raw.hex() not in "".join(lines).replace(" ", "").lower()


@pytest.mark.parametrize(("size", "encrypted"), [(16, 16), (24, 32), (32, 32)])
def test_put_key_has_an_inner_length_that_names_the_keys_own_size(size: int, encrypted: int) -> None:
    new, dek = a_key_set(size, first=7), CardKey(bytes(size))
    data = put_key(new, 2, dek, replaces_version=0x30).data
    assert data[0] == 2
    field = data[1 : 1 + 2 + 1 + encrypted + 4]
    assert field[:3] == bytes((0x88, 1 + encrypted, size))
    assert field[-4:] == b"\x03" + gp_check_value(new.enc)
    assert len(data) == 1 + 3 * len(field)


def test_put_key_names_the_version_that_it_replaces_and_that_several_keys_follow() -> None:
    command = put_key(a_key_set(), 2, CardKey(bytes(16)), replaces_version=0x30)
    assert command.header.hex() == "80d83081"
    for wrong in ((0, 0), (128, 0), (1, 128)):
        with pytest.raises(ValueError, match="1 to 127"):
            put_key(a_key_set(), wrong[0], CardKey(bytes(16)), replaces_version=wrong[1])


def test_check_values_that_the_card_confirms_must_be_those_of_the_keys_sent() -> None:
    new = a_key_set(first=7)
    confirmed = b"\2" + gp_check_value(new.enc) + gp_check_value(new.mac) + gp_check_value(new.dek)
    parse_put_key_answer(new, 2, confirmed)
    for wrong in (confirmed[:-1] + b"\0", b"\3" + confirmed[1:], b""):
        with pytest.raises(KeysNotTaken):
            parse_put_key_answer(new, 2, wrong)


def test_keys_of_a_set_are_of_one_size_and_in_no_repr() -> None:
    with pytest.raises(ValueError, match="one size"):
        StaticKeys(CardKey(bytes(16)), CardKey(bytes(32)), CardKey(bytes(16)))
    channel = an_open_channel(EchoCard(a_key_set()), SecurityLevel.ALL)
    assert "\\x" not in repr(channel._session).split("chaining_value")[0]
    assert "CardKey of 128 bits" in repr(channel._session)
