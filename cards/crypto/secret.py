"""The holder of a card key: its bytes are had by asking for them by name, and in no other way."""

from typing import Never

from cards.crypto.compare import equal_in_constant_time

KEY_SIZES = (16, 24, 32)


class CardKey:
    """An AES key (16, 24 or 32 bytes) that no repr, str, format, pickle or error shows.

    `raw` gives the bytes, for the cipher or the key store and nothing else. Two are compared in constant
    time. It is deliberately not hashable: a key is no index.
    """

    __slots__ = ("_raw",)
    __hash__ = None  # type: ignore[assignment]  # Python's way to say that there is no hash

    def __init__(self, raw: bytes) -> None:
        if len(raw) not in KEY_SIZES:
            raise ValueError(f"a card key has 16, 24 or 32 bytes, not {len(raw)}")
        self._raw = bytes(raw)

    @property
    def raw(self) -> bytes:
        """The key's bytes."""
        return self._raw

    def __len__(self) -> int:
        return len(self._raw)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CardKey):
            return NotImplemented
        return equal_in_constant_time(self._raw, other._raw)

    def __repr__(self) -> str:
        return f"<CardKey of {len(self._raw) * 8} bits>"

    def __reduce__(self) -> Never:
        raise TypeError("a card key is not pickled; a key store keeps it")
