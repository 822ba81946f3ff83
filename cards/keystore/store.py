"""What a key store is, and how its keys are named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self

from cards.crypto import CardKey
from cards.keys import MAX_KEY_VERSION, MIN_KEY_VERSION

_OWNER = r"[a-z0-9][a-z0-9-]{0,39}"
_ID = re.compile(rf"(?P<purpose>[a-z]+)/(?P<owner>{_OWNER})/(?P<version>[0-9]{{1,3}})")


class KeyStoreError(Exception):
    """What a key custodian can mend; the text says how. No message of these shows a byte of a key."""


class WrongPassphrase(KeyStoreError):
    """The store is whole, the passphrase or PIN is not its own."""


class StoreTampered(KeyStoreError):
    """The store was changed by something else than this program, or is damaged."""


class StoreUnusable(KeyStoreError):
    """The store cannot be reached, is open to others, or is of a version that this program does not know."""


class ModuleAbsent(KeyStoreError):
    """No hardware module: the library, the Python package, or the token is missing."""


class KeyExists(KeyStoreError):
    """A key of that name is there; keys are never overwritten."""


class KeyUnknown(KeyStoreError):
    """No key of that name."""


class KeyStaysInside(KeyStoreError):
    """The store uses this key and does not give it away."""


class KeyPurpose(StrEnum):
    """What a stored key is for: the top of the hierarchy, or one of the two issuer keys of a merchant."""

    COALITION = "coalition"
    MANAGEMENT = "management"
    VERIFICATION = "verification"


@dataclass(frozen=True, slots=True, order=True)
class KeyId:
    """The name of a key: purpose, owner (the merchant's id; of a coalition key, the coalition's), version."""

    purpose: KeyPurpose
    owner: str
    version: int

    def __post_init__(self) -> None:
        if not re.fullmatch(_OWNER, self.owner):
            raise ValueError("the owner of a key is named by up to 40 small letters, digits and hyphens")
        if not MIN_KEY_VERSION <= self.version <= MAX_KEY_VERSION:
            raise ValueError(f"key versions run from {MIN_KEY_VERSION} to {MAX_KEY_VERSION}")

    def __str__(self) -> str:
        return f"{self.purpose}/{self.owner}/{self.version}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `purpose/owner/version`; `ValueError` for anything else."""
        if (found := _ID.fullmatch(text)) is None:
            raise ValueError("a key is named purpose/owner/version, for example verification/anar/1")
        return cls(KeyPurpose(found["purpose"]), found["owner"], int(found["version"]))


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What may be shown of a key."""

    id: KeyId
    key_bits: int
    check_value: bytes
    """`cmac_check_value`, by which people compare it with the paper of the ceremony."""
    created_ms: int
    """When it came into this store, in milliseconds since 1970."""
    parent: KeyId | None = None
    """The key it was derived from; None for one that came from outside (a ceremony, an import)."""


class KeyStore(Protocol):
    """Keeps keys, and makes the keys below them."""

    @property
    def place(self) -> str:
        """Where it is, in words for records and lists. Holds no secret."""
        ...

    def records(self) -> list[KeyRecord]:
        """All keys, in the order of their ids."""
        ...

    def add(self, key_id: KeyId, key: CardKey, *, created_ms: int, parent: KeyId | None = None) -> KeyRecord:
        """Keep a new key, durably before this returns. `KeyExists` rather than ever overwriting one."""
        ...

    def derive(self, key_id: KeyId, diversification_input: bytes) -> CardKey:
        """The key below `key_id` for an AN10922 input of 1 to 31 bytes. `KeyUnknown` if there is no such
        key.
        """
        ...

    def key(self, key_id: KeyId) -> CardKey:
        """The key itself; `KeyStaysInside` where the store never gives it away, `KeyUnknown` if there is
        none.
        """
        ...

    def close(self) -> None:
        """Let go of it: log out, forget. Closing twice does no harm."""
        ...


def unknown(key_id: KeyId, place: str) -> KeyUnknown:
    """The error for a key that a store has not."""
    return KeyUnknown(f"{place} has no key {key_id}. See what it has: vafa keys list.")


def exists(key_id: KeyId, place: str) -> KeyExists:
    """The error for a key that a store has already."""
    return KeyExists(f"{place} has a key {key_id} already. It was kept; choose the next version.")
