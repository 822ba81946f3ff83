"""The address in an NTAG 424 DNA's NDEF file, and where in the file the card mirrors into it.

NFC Forum NDEF 1.0 and URI record type; the file is that of a type 4 tag: two bytes of length, then the
message.
"""

from dataclasses import dataclass

from cards.profiles.label import CardLabel, LabelUnreadable, label_of
from cards.sun import SunLayout, TapMalformed, parse_tap

LAYOUT = SunLayout()
"""The parameters i (issuer), a (alias), p (PICC data) and m (MAC, which covers all of these)."""

MAX_BASE_CHARACTERS = 80
_HTTPS = "https://"
_PREFIX_HTTPS = 0x04
_RECORD = 0xD1  # one short record, well-known type
_PICC_CHARACTERS, _MAC_CHARACTERS = 32, 16
_LENGTH_BYTES, _HEAD_BYTES = 2, 7


@dataclass(frozen=True, slots=True)
class NdefFile:
    """The file's content, and offsets into it in bytes."""

    content: bytes
    picc_at: int
    covered_from: int
    mac_at: int


def check_base(base: str) -> None:
    """`ValueError` unless `base` is a plain https address without parameters, short enough for the file."""
    plain = base.isascii() and base.isprintable() and not set("?#% ") & set(base)
    if not base.startswith(_HTTPS) or len(base) > MAX_BASE_CHARACTERS or not plain:
        raise ValueError(
            f"a tap's address is https, without parameters, of at most {MAX_BASE_CHARACTERS} characters"
        )


def ndef_file(base: str, label: CardLabel) -> NdefFile:
    """The file with zeros where the card will write."""
    check_base(base)
    head = f"{base}?{LAYOUT.issuer}="
    covered = f"{label.issuer}&{LAYOUT.alias}={label.alias}&{LAYOUT.picc}="
    between = f"&{LAYOUT.mac}="
    address = head + covered + "0" * _PICC_CHARACTERS + between + "0" * _MAC_CHARACTERS
    payload = bytes((_PREFIX_HTTPS,)) + address.removeprefix(_HTTPS).encode("ascii")
    message = bytes((_RECORD, 1, len(payload))) + b"U" + payload
    # An offset counts from the file's beginning: length, record head, prefix; and "https://" is not in the
    # file.
    start = _HEAD_BYTES - len(_HTTPS)
    picc_at = start + len(head) + len(covered)
    return NdefFile(
        content=len(message).to_bytes(_LENGTH_BYTES, "big") + message,
        picc_at=picc_at,
        covered_from=start + len(head),
        mac_at=picc_at + _PICC_CHARACTERS + len(between),
    )


def parse_ndef_file(content: bytes) -> str:
    """The address in the file as a phone shows it; `LabelUnreadable` if it holds no single https address."""
    length = int.from_bytes(content[:_LENGTH_BYTES], "big")
    message = content[_LENGTH_BYTES : _LENGTH_BYTES + length]
    good = len(message) == length > _HEAD_BYTES - _LENGTH_BYTES
    if not good or message[:2] != bytes((_RECORD, 1)) or message[3:5] != b"U" + bytes((_PREFIX_HTTPS,)):
        raise LabelUnreadable("The card's file holds no address.")
    text = message[_HEAD_BYTES - _LENGTH_BYTES :]
    if len(text) + 1 != message[2] or not text.isascii():
        raise LabelUnreadable("The address in the card's file is damaged.")
    return _HTTPS + text.decode("ascii")


def label_in(address: str) -> CardLabel:
    """Whose card it says it is. Not yet believed: only the MAC proves it."""
    try:
        tap = parse_tap(address, LAYOUT)
    except TapMalformed as fault:
        raise LabelUnreadable(str(fault)) from None
    return label_of(tap.issuer, tap.alias)
