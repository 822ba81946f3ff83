"""Secure Unique NFC messages (SDM, SUN): the address that an NTAG 424 DNA makes anew at every tap.

`parse_tap` reads the address, `open_picc_data` finds out whose tap it is, `mac_is_right` whether the card
made it. Pure functions; that a counter was not seen before is the caller's to know. Sources: NT4H2421Gx 9.3,
AN12196.
"""

from cards.sun.mirror import (
    MAX_READ_COUNTER,
    PiccData,
    decrypt_file_data,
    mac_is_right,
    open_picc_data,
    sdm_mac,
    sdm_session_keys,
)
from cards.sun.tap import SunLayout, Tap, TapMalformed, parse_tap

__all__ = [
    "MAX_READ_COUNTER",
    "PiccData",
    "SunLayout",
    "Tap",
    "TapMalformed",
    "decrypt_file_data",
    "mac_is_right",
    "open_picc_data",
    "parse_tap",
    "sdm_mac",
    "sdm_session_keys",
]
