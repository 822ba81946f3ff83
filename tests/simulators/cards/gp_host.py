"""What the tests of the virtual GlobalPlatform card share: a blank one, a channel to it, and the commands."""

from cards.apdu import Command, Processor, Response, Wire
from cards.crypto import CardKey
from cards.scp03 import SecureChannel, SecurityLevel, StaticKeys, initialize, open_channel
from simulators.cards.card import seeded
from simulators.cards.globalplatform.card import GlobalPlatformCard
from simulators.cards.globalplatform.memory import FACTORY_KEY, blank

UID = bytes.fromhex("0411223344556677")
FACTORY = StaticKeys(*(CardKey(FACTORY_KEY) for _ in range(3)))
NEW = StaticKeys(*(CardKey(bytes(range(start, start + 16))) for start in (0x10, 0x31, 0x53)))
PACKAGE, APPLET = bytes.fromhex("F05641464101"), bytes.fromhex("F0564146410101")
CHALLENGE = bytes.fromhex("0102030405060708")


def tapped() -> GlobalPlatformCard:
    card = GlobalPlatformCard(blank(UID), seeded(1))
    card.tap()
    return card


def channel(
    card: GlobalPlatformCard,
    keys: StaticKeys = FACTORY,
    level: SecurityLevel = SecurityLevel.ALL,
    version: int = 0,
) -> SecureChannel:
    wire = Wire(card)
    return open_channel(wire, initialize(wire, CHALLENGE, key_version=version), keys, level)


def ask(card: Processor, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> Response:
    return card.send(Command(0x80, ins, p1, p2, data, le=256))


def fields(*values: bytes) -> bytes:
    return b"".join(bytes([len(value)]) + value for value in values)


INSTALL = fields(PACKAGE, APPLET, APPLET, b"\0", b"\xc9\0", b"")


def installed(card: GlobalPlatformCard) -> SecureChannel:
    opened = channel(card)
    assert ask(opened, 0xE6, 0x0C, 0, INSTALL) == Response(b"\0", 0x9000)
    return opened
