"""How much of an exchange SCP03 protects (Amendment D, table 7-6: the P1 of EXTERNAL AUTHENTICATE)."""

from enum import IntEnum


class SecurityLevel(IntEnum):
    """All the levels that the specification permits; there are no others."""

    AUTHENTICATED = 0x00
    C_MAC = 0x01
    C_MAC_C_ENC = 0x03
    C_MAC_R_MAC = 0x11
    C_MAC_C_ENC_R_MAC = 0x13
    ALL = 0x33

    @property
    def macs_commands(self) -> bool:
        """Every command carries a MAC."""
        return bool(self & 0x01)

    @property
    def encrypts_commands(self) -> bool:
        """The data of commands is encrypted."""
        return bool(self & 0x02)

    @property
    def macs_responses(self) -> bool:
        """Every answer but an error carries a MAC."""
        return bool(self & 0x10)

    @property
    def encrypts_responses(self) -> bool:
        """The data of answers is encrypted."""
        return bool(self & 0x20)
