"""The loyalty applet of the virtual card does what `docs/cards/applet.md` says."""

import pytest

from cards.apdu import Response, Wire
from cards.crypto import CardKey, cmac, encrypt_block, encrypt_cbc
from cards.scp03 import SecurityLevel
from simulators.cards.globalplatform.card import GlobalPlatformCard
from simulators.cards.globalplatform.memory import FACTORY_KEY
from tests.simulators.cards.gp_host import APPLET, ask, channel, fields, installed, tapped

SALE_KEY = CardKey(bytes(range(0x60, 0x70)))
SALE = bytes(range(56))
SELECT = b"\x00\xa4\x04\x00\x07" + APPLET + b"\0"
SELECT_DOMAIN = bytes.fromhex("00A4040000")
FOR_PERSONALISATION = fields(b"", b"", APPLET, b"", b"", b"")


def tlv(tag: str, value: bytes) -> bytes:
    return bytes.fromhex(tag) + bytes([len(value)]) + value


def key_field(key: CardKey = SALE_KEY, version: int = 3) -> bytes:
    encrypted = encrypt_cbc(CardKey(FACTORY_KEY), bytes(16), key.raw.ljust(-(-len(key) // 16) * 16, b"\0"))
    return bytes([version, len(key)]) + encrypted + encrypt_block(key, b"\1" * 16)[:3]


def data(issuer: bytes = b"anar", alias: bytes = b"7H3K", field: bytes = key_field()) -> bytes:
    return tlv("DF21", issuer) + tlv("DF22", alias) + tlv("DF26", field)


def personalise(
    card: GlobalPlatformCard, content: bytes, level: SecurityLevel = SecurityLevel.ALL, p1: int = 0xB0
) -> int:
    card.transmit(SELECT_DOMAIN)
    opened = channel(card, level=level)
    ask(opened, 0xE6, 0x20, 0, FOR_PERSONALISATION).expect("INSTALL [for personalization]")
    return ask(opened, 0xE2, p1, 0, content).status


def ready() -> GlobalPlatformCard:
    card = tapped()
    installed(card)
    assert personalise(card, data()) == 0x9000
    assert card.transmit(SELECT) == bytes.fromhex("6F0F8407F0564146410101A504DF200101") + b"\x90\x00"
    return card


def prove(card: GlobalPlatformCard, sale: bytes = SALE) -> Response:
    answer = card.transmit(b"\x00\x88\x00\x00" + bytes([len(sale)]) + sale + b"\0")
    return Response(answer[:-2], int.from_bytes(answer[-2:], "big"))


def get(card: GlobalPlatformCard, tag: str) -> str:
    return card.transmit(bytes.fromhex(f"80CA{tag}00")).hex()


def test_before_it_is_personalised_it_says_so() -> None:
    card = tapped()
    installed(card)
    card.transmit(SELECT)

    assert get(card, "DF21") == get(card, "DF22") == get(card, "DF25") == "6985"
    assert get(card, "DF23") == "df2301009000"
    assert get(card, "DF24") == "df2404000000009000"
    assert prove(card).status == 0x6985


def test_it_tells_everybody_whose_card_it_is() -> None:
    card = ready()

    assert get(card, "DF21") == "df2104" + b"anar".hex() + "9000"
    assert get(card, "DF22") == "df2204" + b"7H3K".hex() + "9000"
    assert get(card, "DF23") == "df2301039000"
    assert get(card, "DF25") == "df2503" + encrypt_block(SALE_KEY, b"\1" * 16)[:3].hex() + "9000"
    assert get(card, "DF26") == "6a88"
    assert card.transmit(bytes.fromhex("80CADF2101FF00")) == b"\x67\x00"


def test_its_cryptogram_is_over_alias_counter_version_and_sale() -> None:
    card = ready()

    answer = prove(card).expect("the proof")
    assert answer[:5].hex() == "0000000103"
    covered = b"\1" + b"7H3K".ljust(16, b"\0") + answer[:5] + SALE
    assert answer[5:] == cmac(SALE_KEY, covered)
    assert prove(card).data[:4].hex() == "00000002"
    assert get(card, "DF24") == "df2404000000029000"


def test_a_proof_that_was_torn_away_has_used_its_count() -> None:
    card = ready()
    card.tear_at(1, takes_effect=True)
    with pytest.raises(Exception, match="left the reader"):
        prove(card)

    card.tap()
    card.transmit(SELECT)
    assert prove(card).data[:4].hex() == "00000002"


def test_the_counter_outlives_a_new_key_and_ends_for_good() -> None:
    card = ready()
    prove(card)
    assert personalise(card, data(field=key_field(CardKey(bytes(range(24))), 4))) == 0x9000
    card.transmit(SELECT)
    assert prove(card).data[:5].hex() == "0000000204"

    card.memory.instances[APPLET.hex()].memory.counter = 0xFFFFFFFF
    assert prove(card).status == 0x6A84


def test_a_wrong_question_counts_nothing() -> None:
    card = ready()

    assert prove(card, SALE[:-1]).status == 0x6700
    assert card.transmit(b"\x00\x88\x01\x00\x38" + SALE + b"\0") == b"\x6a\x86"
    assert card.transmit(bytes.fromhex("0012000000")) == b"\x6d\x00"
    assert card.transmit(bytes.fromhex("8488000000")) == b"\x6e\x00"
    assert prove(card).data[:4].hex() == "00000001"


REFUSED = {
    "a wrong check value": (data(field=key_field()[:-1] + b"\xaa"), 0x9485),
    "a version out of range": (data(field=key_field(version=0)), 0x6A80),
    "a tag missing": (data()[7:], 0x6A80),
    "a tag twice": (data() + data(), 0x6A80),
    "an alias in small letters": (data(alias=b"7h3k"), 0x6A80),
    "an issuer too long": (data(issuer=b"a" * 41), 0x6A80),
    "a length that lies": (data()[:-1], 0x6A80),
}


@pytest.mark.parametrize(("content", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_personal_data_is_refused_whole(content: bytes, status: int) -> None:
    card = tapped()
    installed(card)

    assert personalise(card, content) == status
    card.transmit(SELECT)
    assert get(card, "DF22") == "6985"


def test_personal_data_comes_encrypted_and_through_the_domain_only() -> None:
    card = tapped()
    installed(card)

    assert personalise(card, data(), SecurityLevel.C_MAC) == 0x6982
    assert personalise(card, data(), p1=0x90) == 0x6A86
    card.transmit(SELECT)
    assert ask(Wire(card), 0xE2, 0xB0, 0, data()).status == 0x6982
