from collections.abc import Callable
from dataclasses import replace

import pytest

from cards.apdu import ApduMalformed, CardLost, CardRefused, Command, Hides, Response, Wire, parse_response
from cards.crypto import CardKey, crc32_desfire, decrypt_cbc, encrypt_cbc, pad
from cards.ev2 import (
    MAX_COMMANDS,
    CommMode,
    Ev2Channel,
    HandshakeFailed,
    MessagingBroken,
    Session,
    answer_challenge,
    authenticate_first,
    authenticate_non_first,
    change_key,
    change_session_key,
    finish_first,
    max_data_bytes,
    native,
    session_keys,
    start_first,
    transaction_mac_keys,
    unwrap,
    whole_answer,
    wrap,
)
from cards.ev2.session import command_iv, mac_over, response_iv
from tests.cards.card_vectors import Vector, expected, given, key, vectors
from tests.cards.scripted_card import ScriptedCard

KEY, OTHER_KEY = CardKey(bytes(range(16))), CardKey(bytes(range(1, 17)))
RND_A = bytes(range(0xA0, 0xB0))
SESSION = Session(CardKey(bytes(range(2, 18))), CardKey(bytes(range(3, 19))), b"\1\2\3\4")
NO_SECRET = CardKey(bytes(16))


def a_session(vector: Vector) -> Session:
    inputs = vector["input"]
    enc = key(vector, "k_ses_auth_enc") if "k_ses_auth_enc" in inputs else NO_SECRET
    mac = key(vector, "k_ses_auth_mac") if "k_ses_auth_mac" in inputs else NO_SECRET
    return Session(enc, mac, given(vector, "ti"), inputs["cmd_ctr"])


def an_answer(vector: Vector) -> Response:
    return parse_response(expected(vector, "r_apdu"))


@pytest.mark.parametrize("vector", vectors("ev2_first"))
def test_the_published_handshake_comes_out_byte_by_byte(vector: Vector) -> None:
    first, second = given(vector, "picc_response_1"), given(vector, "picc_response_2")
    assert start_first(0).encode() == expected(vector, "command_1")
    challenge, command = answer_challenge(
        key(vector, "key"), 0, given(vector, "rnd_a"), parse_response(first).data
    )
    assert challenge.rnd_b == expected(vector, "rnd_b")
    assert command.encode() == expected(vector, "command_2")
    session = finish_first(challenge, parse_response(second).data)
    assert session.transaction_id == expected(vector, "ti")
    assert session.enc == CardKey(expected(vector, "k_ses_auth_enc"))
    assert session.mac == CardKey(expected(vector, "k_ses_auth_mac"))
    assert session.commands == 0


@pytest.mark.parametrize("vector", vectors("ev2_first"))
def test_the_published_handshake_runs_over_a_card(vector: Vector) -> None:
    card = ScriptedCard(
        (vector["expected"]["command_1"], vector["input"]["picc_response_1"]),
        (vector["expected"]["command_2"], vector["input"]["picc_response_2"]),
    )
    assert authenticate_first(Wire(card), key(vector, "key"), 0, given(vector, "rnd_a")).is_open
    assert card.finished


@pytest.mark.parametrize("vector", vectors("ev2_session_keys"))
def test_session_keys_are_the_published_ones(vector: Vector) -> None:
    enc, mac = session_keys(key(vector, "key"), given(vector, "rnd_a"), given(vector, "rnd_b"))
    assert enc == CardKey(expected(vector, "k_ses_auth_enc"))
    assert mac == CardKey(expected(vector, "k_ses_auth_mac"))


@pytest.mark.parametrize("vector", vectors("ev2_mac"))
def test_macs_are_the_published_ones(vector: Vector) -> None:
    code = given(vector, "cmd_or_rc")[0]
    made = mac_over(a_session(vector), code, vector["input"]["cmd_ctr"], given(vector, "data"))
    assert made == expected(vector, "mact")


@pytest.mark.parametrize("vector", vectors("ev2_iv_cmd"))
def test_the_iv_of_a_command_is_the_published_one(vector: Vector) -> None:
    assert command_iv(a_session(vector)) == expected(vector, "iv")


@pytest.mark.parametrize("vector", vectors("ev2_full_command"))
def test_fully_protected_commands_and_their_answers_are_the_published_ones(vector: Vector) -> None:
    session, header = a_session(vector), given(vector, "header")
    command = native(given(vector, "cmd")[0], header, given(vector, "data"), name="of the vector")
    assert wrap(session, command, len(header), CommMode.FULL).encode() == expected(vector, "c_apdu")
    after, data = unwrap(session, an_answer(vector), CommMode.FULL, title="of the vector")
    assert (after.commands, data) == (session.commands + 1, b"")


@pytest.mark.parametrize("vector", vectors("ev2_mac_command"))
def test_maced_commands_and_their_answers_are_the_published_ones(vector: Vector) -> None:
    session, header = a_session(vector), given(vector, "header")
    command = native(given(vector, "cmd")[0], header, name="of the vector")
    assert wrap(session, command, len(header), CommMode.MAC).encode() == expected(vector, "c_apdu")
    after, data = unwrap(session, an_answer(vector), CommMode.MAC, title="of the vector")
    assert (after.commands, data) == (session.commands + 1, an_answer(vector).data[:-8])


@pytest.mark.parametrize("vector", vectors("ev2_change_key"))
def test_change_key_is_the_published_one(vector: Vector) -> None:
    inputs, session = vector["input"], a_session(vector)
    new = key(vector, "new_key")
    assert crc32_desfire(new.raw) == expected(vector, "crc32nk")
    command = change_key(inputs["key_no"], key(vector, "old_key"), new, inputs["key_version"])
    assert wrap(session, command, 1, CommMode.FULL).encode() == expected(vector, "c_apdu")
    after, data = unwrap(session, an_answer(vector), CommMode.FULL, title="of the vector")
    assert (after.commands, data) == (session.commands + 1, b"")


@pytest.mark.parametrize("vector", vectors("tmac_session_keys"))
def test_transaction_mac_keys_are_the_published_ones(vector: Vector) -> None:
    made = transaction_mac_keys(
        key(vector, "app_transaction_mac_key"), given(vector, "uid"), vector["input"]["act_tmc"]
    )
    assert made == (CardKey(expected(vector, "ses_tm_mac_key")), CardKey(expected(vector, "ses_tm_enc_key")))


def turned(block: bytes) -> bytes:
    return block[1:] + block[:1]


class HandshakeCard:
    """The card's side of the handshake, for one key."""

    def __init__(self, card_key: CardKey, spoil: Callable[[bytes], bytes] = lambda proof: proof) -> None:
        self._key, self._spoil = card_key, spoil
        self._rnd_b = bytes(range(0xB0, 0xC0))
        self._first = True
        self.host_was_right = False

    def transmit(self, apdu: bytes) -> bytes:
        if apdu[1] in (0x71, 0x77):
            self._first = apdu[1] == 0x71
            return encrypt_cbc(self._key, bytes(16), self._rnd_b) + b"\x91\xaf"
        plain = decrypt_cbc(self._key, bytes(16), apdu[5:37])
        self.host_was_right = plain[16:] == turned(self._rnd_b)
        if not self.host_was_right:
            return b"\x91\xae"
        proof = turned(plain[:16])
        if self._first:
            proof = b"\x11\x22\x33\x44" + proof + bytes(12)
        return self._spoil(encrypt_cbc(self._key, bytes(16), proof)) + b"\x91\x00"


def test_a_wrong_key_is_refused_by_the_card_in_its_own_words() -> None:
    with pytest.raises(CardRefused, match=r"key 3, second part.*authentication failed"):
        authenticate_first(Wire(HandshakeCard(KEY)), OTHER_KEY, 3, RND_A)


@pytest.mark.parametrize("at", range(32))
def test_a_card_that_cannot_return_our_number_is_found_out(at: int) -> None:
    def spoil(proof: bytes) -> bytes:
        return proof[:at] + bytes((proof[at] ^ 1,)) + proof[at + 1 :]

    with pytest.raises(HandshakeFailed, match="proof is wrong"):
        authenticate_first(Wire(HandshakeCard(KEY, spoil)), KEY, 0, RND_A)


@pytest.mark.parametrize("proof", [b"", bytes(16), bytes(48)])
def test_a_proof_of_another_length_is_no_proof(proof: bytes) -> None:
    with pytest.raises(HandshakeFailed, match="length"):
        authenticate_first(Wire(HandshakeCard(KEY, lambda _: proof)), KEY, 0, RND_A)


def test_a_challenge_of_another_length_is_no_challenge() -> None:
    with pytest.raises(HandshakeFailed, match="15 bytes"):
        answer_challenge(KEY, 0, RND_A, bytes(15))
    with pytest.raises(ValueError, match="16 bytes"):
        answer_challenge(KEY, 0, RND_A[:8], bytes(16))


def test_a_second_key_goes_on_in_the_same_transaction_and_count() -> None:
    card = Wire(HandshakeCard(KEY))
    first = authenticate_first(card, KEY, 0, RND_A)
    first._session = replace(first._session, commands=7)  # type: ignore[type-var]  # an open channel has a session
    second = authenticate_non_first(first, KEY, 1, RND_A)
    assert not first.is_open
    _, session = second.give_up()
    assert (session.transaction_id.hex(), session.commands, session.key_number) == ("11223344", 7, 1)


def an_honest_answer(
    data: bytes, mode: CommMode, session: Session = SESSION, status: int = 0x9100
) -> Response:
    if mode is CommMode.FULL and data:
        data = encrypt_cbc(session.enc, response_iv(session), pad(data))
    if mode is not CommMode.PLAIN:
        data += mac_over(session, status & 0xFF, session.commands + 1, data)
    return Response(data, status)


PROTECTED = [CommMode.MAC, CommMode.FULL]


@pytest.mark.parametrize("mode", list(CommMode))
@pytest.mark.parametrize("data", [b"", b"some data", bytes(16), bytes(32)])
def test_an_answer_is_read_in_every_mode_and_counts_one_command(mode: CommMode, data: bytes) -> None:
    after, found = unwrap(SESSION, an_honest_answer(data, mode), mode, title="read")
    assert (found, after.commands) == (data, 1)


@pytest.mark.parametrize("mode", PROTECTED)
@pytest.mark.parametrize("data", [b"", b"some data"])
def test_every_tampered_byte_of_an_answer_is_noticed_also_without_data(mode: CommMode, data: bytes) -> None:
    honest = an_honest_answer(data, mode).data
    for at in range(len(honest)):
        spoiled = honest[:at] + bytes((honest[at] ^ 0x80,)) + honest[at + 1 :]
        with pytest.raises(MessagingBroken, match="MAC is wrong"):
            unwrap(SESSION, Response(spoiled, 0x9100), mode, title="read")
    with pytest.raises(MessagingBroken, match="no MAC"):
        unwrap(SESSION, Response(b"", 0x9100), mode, title="read")


@pytest.mark.parametrize("mode", PROTECTED)
def test_an_answer_uses_the_commands_counter_plus_one(mode: CommMode) -> None:
    late = replace(SESSION, commands=1)
    unwrap(late, an_honest_answer(b"x", mode, late), mode, title="read")
    with pytest.raises(MessagingBroken):
        unwrap(late, an_honest_answer(b"x", mode, SESSION), mode, title="read")


@pytest.mark.parametrize("mode", list(CommMode))
def test_an_error_carries_no_mac_and_ends_the_channel(mode: CommMode) -> None:
    card = ScriptedCard((wrap(SESSION, a_read(), 1, mode).encode().hex(), "919D"))
    channel = Ev2Channel(Wire(card), SESSION)
    with pytest.raises(CardRefused, match="not allowed"):
        channel.call(a_read(), 1, mode)
    assert not channel.is_open
    with pytest.raises(MessagingBroken, match="Nothing was sent"):
        channel.call(a_read(), 1, mode)
    assert len(card.heard) == 1


def a_read() -> Command:
    return native(0xAD, b"\x03", name="read")


def test_a_command_that_is_too_long_is_refused_before_it_is_sent_and_the_channel_stays() -> None:
    card = ScriptedCard()
    channel = Ev2Channel(Wire(card), SESSION)
    for mode in CommMode:
        too_long = native(0x8D, bytes(7), bytes(max_data_bytes(mode, 7) + 1), name="write")
        with pytest.raises(ApduMalformed, match="too many"):
            channel.call(too_long, 7, mode)
        assert len(wrap(SESSION, replace(too_long, data=too_long.data[1:]), 7, mode).data) <= 255
    assert channel.is_open


def test_a_session_does_not_outlive_its_counter() -> None:
    last = replace(SESSION, commands=MAX_COMMANDS - 1)
    after, _ = unwrap(last, an_honest_answer(b"", CommMode.MAC, last), CommMode.MAC, title="read")
    with pytest.raises(MessagingBroken, match="Authenticate again"):
        wrap(after, a_read(), 1, CommMode.MAC)


def test_a_card_that_left_ends_the_channel() -> None:
    class Leaving:
        def transmit(self, apdu: bytes) -> bytes:
            raise CardLost("gone")

    channel = Ev2Channel(Wire(Leaving()), SESSION)
    with pytest.raises(CardLost):
        channel.call(a_read(), 1, CommMode.MAC)
    assert not channel.is_open


def test_changing_the_sessions_own_key_ends_it_and_its_answer_has_no_mac() -> None:
    protected = wrap(SESSION, change_session_key(0, OTHER_KEY, 1), 1, CommMode.FULL)
    channel = Ev2Channel(Wire(ScriptedCard((protected.encode().hex(), "9100"))), SESSION)
    channel.change_own_key(OTHER_KEY, 1)
    assert not channel.is_open


def test_desfire_is_told_the_type_of_its_new_master_key() -> None:
    protected = wrap(SESSION, change_session_key(0x80, OTHER_KEY, 1), 1, CommMode.FULL)
    channel = Ev2Channel(Wire(ScriptedCard((protected.encode().hex(), "9100"))), SESSION)
    channel.change_own_key(OTHER_KEY, 1, number_on_card=0x80)
    assert not channel.is_open


def test_changing_another_key_wants_its_macced_answer() -> None:
    protected = wrap(SESSION, change_key(2, KEY, OTHER_KEY, 1), 1, CommMode.FULL)
    honest = an_honest_answer(b"", CommMode.FULL).encode().hex()
    channel = Ev2Channel(Wire(ScriptedCard((protected.encode().hex(), honest))), SESSION)
    channel.change_key(2, KEY, OTHER_KEY, 1)
    assert channel.is_open
    bare = Ev2Channel(Wire(ScriptedCard((protected.encode().hex(), "9100"))), SESSION)
    with pytest.raises(MessagingBroken, match="no MAC"):
        bare.change_key(2, KEY, OTHER_KEY, 1)


def test_a_changed_key_is_declared_secret_and_of_128_bits() -> None:
    assert change_key(1, KEY, OTHER_KEY, 1).hides is Hides.COMMAND
    assert change_session_key(0, OTHER_KEY, 1).hides is Hides.COMMAND
    with pytest.raises(ValueError, match="128 bits"):
        change_session_key(0, CardKey(bytes(32)), 1)


def test_an_answer_in_frames_is_joined_and_an_endless_one_given_up() -> None:
    version = native(0x60, name="get version")
    card = ScriptedCard(("9060000000", "0101 91AF"), ("90AF000000", "0202 91AF"), ("90AF000000", "03 9100"))
    assert whole_answer(Wire(card), version) == Response(b"\1\1\2\2\3", 0x9100)

    class Endless:
        def transmit(self, apdu: bytes) -> bytes:
            return b"\0\x91\xaf"

    with pytest.raises(ApduMalformed, match="does not end"):
        whole_answer(Wire(Endless()), version)


def test_no_repr_of_a_session_or_a_handshake_shows_a_secret() -> None:
    challenge, _ = answer_challenge(KEY, 0, RND_A, bytes(16))
    assert "\\xa0" not in repr(challenge)
    assert repr(SESSION.enc) in repr(SESSION)
    assert "\\x05" not in repr(SESSION)
