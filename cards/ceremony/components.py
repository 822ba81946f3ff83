"""Components and what comes of them. Pure: who asks people for them is elsewhere.

The key is the XOR of all components (ANSI X9.24-1:2017 7.5; PCI PIN requirement 6): whoever lacks one of them
knows nothing of it, not even a bit. Fewer than two people make no ceremony.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import reduce

from cards.crypto import KEY_SIZES, CardKey, equal_in_constant_time, xor
from cards.keys import cmac_check_value, is_default

MIN_COMPONENTS, MAX_COMPONENTS = 2, 8
MAX_NAME_CHARACTERS = 80
_BLANKS = re.compile(r"[\s:-]+")


class CeremonyRefused(Exception):
    """A ceremony that would make no good key. Nothing was kept; the text says why, and shows no component."""


@dataclass(frozen=True, slots=True)
class Component:
    """One person's part of the key."""

    custodian: str
    """The person's name, as the record shows it."""
    value: CardKey
    entered_ms: int

    def __post_init__(self) -> None:
        if not 1 <= len(self.custodian.strip()) <= MAX_NAME_CHARACTERS:
            raise CeremonyRefused(f"A custodian is named by 1 to {MAX_NAME_CHARACTERS} characters.")

    @property
    def check_value(self) -> bytes:
        """Five bytes by which the custodian sees that it was typed as it stands on the sheet."""
        return cmac_check_value(self.value)


def parse_component(typed: str) -> CardKey:
    """A component from hexadecimal digits, in groups or not; `CeremonyRefused` for anything else.

    Digits of other scripts are taken as the same digits.
    """
    text = unicodedata.normalize("NFKC", _BLANKS.sub("", typed))
    digits = "".join(str(unicodedata.digit(sign, -1)) if sign.isdigit() else sign for sign in text)
    if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", digits) is None or len(digits) // 2 not in KEY_SIZES:
        raise CeremonyRefused(
            "A component is 32, 48 or 64 hexadecimal digits. It was not taken; type it again."
        )
    return CardKey(bytes.fromhex(digits))


def combine(components: list[Component]) -> CardKey:
    """The key of all components together; `CeremonyRefused` unless they are 2 to 8 good ones of several
    people.

    Refused are: a custodian who came twice, components of different lengths, one that is a well-known pattern
    (zeros among them: it would leave the key to the others), two alike (they cancel out), and a key that is a
    well-known default itself.
    """
    if not MIN_COMPONENTS <= len(components) <= MAX_COMPONENTS:
        raise CeremonyRefused(f"A ceremony takes {MIN_COMPONENTS} to {MAX_COMPONENTS} components.")
    names = {folded_name(component.custodian) for component in components}
    if len(names) != len(components):
        raise CeremonyRefused("Each custodian brings one component: one of them came twice.")
    if len({len(component.value) for component in components}) != 1:
        raise CeremonyRefused("All components have the same length.")
    for place, component in enumerate(components):
        if is_default(component.value):
            raise CeremonyRefused(
                f"The component of {component.custodian} is a pattern that everybody knows."
                " Make another by chance."
            )
        if any(component.value == other.value for other in components[:place]):
            raise CeremonyRefused(
                f"The component of {component.custodian} is another custodian's too."
                " Each makes one by chance."
            )
    key = CardKey(reduce(xor, (component.value.raw for component in components)))
    if is_default(key) or any(equal_in_constant_time(key.raw, part.value.raw) for part in components):
        raise CeremonyRefused("These components make a key that everybody knows. Make them anew, by chance.")
    return key


def folded_name(name: str) -> str:
    """A person's name as it is compared: one person is one, however spaced or capitalised."""
    return unicodedata.normalize("NFKC", " ".join(name.split())).casefold()
