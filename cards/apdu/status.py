"""Status words and what they mean in plain words.

Sources: ISO/IEC 7816-4 table 5 and 6, GlobalPlatform Card Specification 2.3.1 section 11.1.3, and for 91xx
the data sheets of NTAG 424 DNA (NT4H2421Gx) and MIFARE DESFire EV2 (public subset).
"""

from enum import IntEnum


class StatusWord(IntEnum):
    """The status words that this house acts on or explains."""

    OK = 0x9000
    CORRUPTED = 0x6281
    END_OF_DATA = 0x6282
    FILE_INVALIDATED = 0x6283
    AUTHENTICATION_FAILED = 0x6300
    MORE_DATA_AVAILABLE = 0x6310
    MEMORY_FAILURE = 0x6581
    WRONG_LENGTH = 0x6700
    CHANNEL_NOT_SUPPORTED = 0x6881
    SECURE_MESSAGING_NOT_SUPPORTED = 0x6882
    LAST_OF_CHAIN_EXPECTED = 0x6883
    CHAINING_NOT_SUPPORTED = 0x6884
    SECURITY_NOT_SATISFIED = 0x6982
    AUTHENTICATION_BLOCKED = 0x6983
    DATA_INVALIDATED = 0x6984
    CONDITIONS_NOT_SATISFIED = 0x6985
    COMMAND_NOT_ALLOWED = 0x6986
    SECURE_MESSAGING_MISSING = 0x6987
    SECURE_MESSAGING_WRONG = 0x6988
    WRONG_DATA = 0x6A80
    FUNCTION_NOT_SUPPORTED = 0x6A81
    NOT_FOUND = 0x6A82
    RECORD_NOT_FOUND = 0x6A83
    NO_SPACE = 0x6A84
    WRONG_P1_P2 = 0x6A86
    DATA_NOT_FOUND = 0x6A88
    ALREADY_EXISTS = 0x6A89
    WRONG_OFFSET = 0x6B00
    INSTRUCTION_UNKNOWN = 0x6D00
    CLASS_UNKNOWN = 0x6E00
    UNSPECIFIED = 0x6F00
    ALGORITHM_NOT_SUPPORTED = 0x9484
    KEY_CHECK_VALUE_WRONG = 0x9485

    DF_OK = 0x9100
    DF_NO_CHANGES = 0x910C
    DF_OUT_OF_MEMORY = 0x910E
    DF_ILLEGAL_COMMAND = 0x911C
    DF_INTEGRITY_ERROR = 0x911E
    DF_NO_SUCH_KEY = 0x9140
    DF_LENGTH_ERROR = 0x917E
    DF_PERMISSION_DENIED = 0x919D
    DF_PARAMETER_ERROR = 0x919E
    DF_APPLICATION_NOT_FOUND = 0x91A0
    DF_AUTHENTICATION_DELAY = 0x91AD
    DF_AUTHENTICATION_ERROR = 0x91AE
    DF_ADDITIONAL_FRAME = 0x91AF
    DF_BOUNDARY_ERROR = 0x91BE
    DF_COMMAND_ABORTED = 0x91CA
    DF_DUPLICATE = 0x91DE
    DF_MEMORY_ERROR = 0x91EE
    DF_FILE_NOT_FOUND = 0x91F0


_WORDS: dict[int, str] = {
    StatusWord.OK: "done",
    StatusWord.CORRUPTED: "part of the returned data may be damaged",
    StatusWord.END_OF_DATA: "the end came before all that was asked for",
    StatusWord.FILE_INVALIDATED: "the application or file is blocked",
    StatusWord.AUTHENTICATION_FAILED: "authentication failed",
    StatusWord.MORE_DATA_AVAILABLE: "more data is available",
    StatusWord.MEMORY_FAILURE: "the card's memory failed",
    StatusWord.WRONG_LENGTH: "the length is wrong",
    StatusWord.CHANNEL_NOT_SUPPORTED: "this logical channel is not supported",
    StatusWord.SECURE_MESSAGING_NOT_SUPPORTED: "secure messaging is not supported",
    StatusWord.LAST_OF_CHAIN_EXPECTED: "the last command of a chain was expected",
    StatusWord.CHAINING_NOT_SUPPORTED: "command chaining is not supported",
    StatusWord.SECURITY_NOT_SATISFIED: "not authenticated for this, or the session ended",
    StatusWord.AUTHENTICATION_BLOCKED: "authentication is blocked",
    StatusWord.DATA_INVALIDATED: "the data is no longer usable",
    StatusWord.CONDITIONS_NOT_SATISFIED: "not possible in the card's present state",
    StatusWord.COMMAND_NOT_ALLOWED: "the command is not allowed here",
    StatusWord.SECURE_MESSAGING_MISSING: "expected secure messaging data is missing",
    StatusWord.SECURE_MESSAGING_WRONG: "secure messaging data is wrong",
    StatusWord.WRONG_DATA: "the data of the command is wrong",
    StatusWord.FUNCTION_NOT_SUPPORTED: "the function is not supported",
    StatusWord.NOT_FOUND: "no such application or file",
    StatusWord.RECORD_NOT_FOUND: "no such record",
    StatusWord.NO_SPACE: "not enough memory, or a counter is used up",
    StatusWord.WRONG_P1_P2: "P1 or P2 is wrong",
    StatusWord.DATA_NOT_FOUND: "no such data or key",
    StatusWord.ALREADY_EXISTS: "it exists already",
    StatusWord.WRONG_OFFSET: "the offset is outside the file",
    StatusWord.INSTRUCTION_UNKNOWN: "the instruction is unknown",
    StatusWord.CLASS_UNKNOWN: "the class is unknown",
    StatusWord.UNSPECIFIED: "the card met a fault that it does not explain",
    StatusWord.ALGORITHM_NOT_SUPPORTED: "the algorithm is not supported",
    StatusWord.KEY_CHECK_VALUE_WRONG: "the key check value is wrong; the key was not taken",
    StatusWord.DF_OK: "done",
    StatusWord.DF_NO_CHANGES: "nothing had to change",
    StatusWord.DF_OUT_OF_MEMORY: "not enough memory on the card",
    StatusWord.DF_ILLEGAL_COMMAND: "the command is unknown",
    StatusWord.DF_INTEGRITY_ERROR: "a MAC, CRC or padding is wrong; the session ended",
    StatusWord.DF_NO_SUCH_KEY: "no such key, or one of another kind",
    StatusWord.DF_LENGTH_ERROR: "the length is wrong",
    StatusWord.DF_PERMISSION_DENIED: "not allowed with the present authentication",
    StatusWord.DF_PARAMETER_ERROR: "a parameter is wrong",
    StatusWord.DF_APPLICATION_NOT_FOUND: "no such application",
    StatusWord.DF_AUTHENTICATION_DELAY: "too many failed authentications; the card makes us wait",
    StatusWord.DF_AUTHENTICATION_ERROR: "authentication failed",
    StatusWord.DF_ADDITIONAL_FRAME: "another frame is expected",
    StatusWord.DF_BOUNDARY_ERROR: "beyond the end of the file",
    StatusWord.DF_COMMAND_ABORTED: "the previous command was not finished",
    StatusWord.DF_DUPLICATE: "it exists already",
    StatusWord.DF_MEMORY_ERROR: "the card's memory failed",
    StatusWord.DF_FILE_NOT_FOUND: "no such file",
}


def status_in_words(status: int) -> str:
    """What a status word (0..FFFF) means, for a person; also of words that carry a count (61xx, 63Cx,
    6Cxx).
    """
    if status in _WORDS:
        return _WORDS[status]
    high, low = status >> 8, status & 0xFF
    if high == 0x61:
        return f"done, {low or 256} bytes wait to be fetched"
    if high == 0x6C:
        return f"ask again for exactly {low or 256} bytes"
    if high == 0x63 and low & 0xF0 == 0xC0:
        return f"verification failed, {low & 0x0F} tries remain"
    if high in (0x62, 0x63):
        return "done, with a warning"
    return "a status word that this program does not know"


def is_warning(status: int) -> bool:
    """62xx and 63xx: the card acted and warns. SCP03 protects such answers like 9000 (Amendment D, 6.2.5)."""
    return status >> 8 in (0x62, 0x63)
