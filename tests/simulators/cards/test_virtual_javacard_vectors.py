"""The virtual GlobalPlatform card greets, authenticates and signs as a published card did, byte for byte."""

import pytest

from cards.apdu import parse_command
from simulators.cards.card import Answer, seeded
from simulators.cards.globalplatform.card import GlobalPlatformCard
from simulators.cards.globalplatform.channel import SecureChannel
from simulators.cards.globalplatform.keys import check_value
from simulators.cards.globalplatform.memory import GlobalPlatformMemory, KeySet
from tests.cards.card_vectors import Vector, expected, given, key, vectors

# The published card was an eUICC; its challenges are those of its issuer security domain's AID.
PUBLISHED_AID = bytes.fromhex("A0000005591010FFFFFFFF8900000100")


def published_card(vector: Vector) -> GlobalPlatformCard:
    greeting = given(vector, "init_update_rsp")
    version, sequence = greeting[10], int.from_bytes(greeting[-3:], "big")
    enc, mac, dek = (given(vector, f"static_{name}") for name in ("enc", "mac", "dek"))
    keys = KeySet(enc, mac, dek, sequence=sequence - 1)
    memory = GlobalPlatformMemory(b"\0" * 7, bytes(10), {version: keys}, aid=PUBLISHED_AID)
    card = GlobalPlatformCard(memory, seeded(1))
    card.tap()
    return card


def opened(vector: Vector) -> GlobalPlatformCard:
    card = published_card(vector)
    assert card.transmit(given(vector, "init_update_cmd"))[:-2] == given(vector, "init_update_rsp")
    assert card.transmit(expected(vector, "ext_auth_cmd")) == b"\x90\x00"
    return card


def channel_of(card: GlobalPlatformCard) -> SecureChannel:
    assert card._channel is not None
    return card._channel


@pytest.mark.parametrize("vector", vectors("scp03_session"))
def test_the_greeting_is_the_published_one(vector: Vector) -> None:
    opened(vector)


@pytest.mark.parametrize("vector", vectors("scp03_session"))
def test_every_published_command_is_understood(vector: Vector) -> None:
    channel = channel_of(opened(vector))
    for name in ("get_eid", "case_1", "case_2", "case_3", "case_4"):
        wire = "cmd" if name == "get_eid" else "apdu"
        plain = parse_command(given({"input": vector["input"]["plain"]}, name))
        understood = channel.open(parse_command(expected(vector, f"{name}_{wire}")))
        assert (understood.header, understood.data) == (plain.header, plain.data), name
        if name == "get_eid":
            eid = bytes.fromhex("bf3e125a1089882119900000000000000000000005")
            assert channel.seal(Answer(eid)).data == expected(vector, "get_eid_rsp")


@pytest.mark.parametrize("vector", vectors("kcv_aes_01"))
def test_check_values_are_the_published_ones(vector: Vector) -> None:
    assert check_value(key(vector, "key")) == expected(vector, "kcv")
