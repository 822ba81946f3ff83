"""Keys in a hardware module, by PKCS#11 2.40; tried with SoftHSM2.

Keys are sensitive and not extractable: what is below them is made inside, with CKM_AES_CBC from an IV of
zeros. Only `Pkcs11Store` knows `python-pkcs11`, and imports it when it is opened.
"""

from __future__ import annotations

import importlib
import re
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Never, Self

from cards.crypto import BLOCK_BYTES, CardKey, diversify_with
from cards.crypto.aes import subkeys_of
from cards.keystore.store import (
    KeyId,
    KeyRecord,
    KeyStaysInside,
    KeyStoreError,
    ModuleAbsent,
    StoreUnusable,
    WrongPassphrase,
    exists,
    unknown,
)

_CHECK_BYTES = 5
_LABEL = re.compile(r"vafa (?P<id>\S+) made (?P<created>[0-9]{1,16})(?: from (?P<parent>\S+))?")
_ZERO_BLOCK = bytes(BLOCK_BYTES)


class Pkcs11Store(AbstractContextManager["Pkcs11Store"]):
    """A key store in a token. Close it when done, or use it as a context manager."""

    def __init__(self, library: Any, session: Any, token: str) -> None:
        self._pkcs11 = library
        self._session = session
        self._token = token

    @classmethod
    def open(cls, module: Path, token: str, pin: str) -> Self:
        """Log in to the token of that label through the module's library.

        `ModuleAbsent` when package, library or token are missing, `WrongPassphrase` for a wrong PIN (the
        token counts those, and locks itself after a few).
        """
        library = _library()
        try:
            session = library.lib(str(module)).get_token(token_label=token).open(rw=True, user_pin=pin)
        except (library.PinIncorrect, library.PinLenRange, library.PinInvalid):
            raise WrongPassphrase(
                f"Token {token}: this is not its PIN. It counts wrong ones and locks itself; do not guess."
            ) from None
        except library.PinLocked:
            raise StoreUnusable(f"Token {token} is locked. Its security officer can unlock it.") from None
        except (library.NoSuchToken, library.MultipleTokensReturned):
            raise ModuleAbsent(
                f"No token is called {token}, or more than one. Make one, for example:"
                f" softhsm2-util --init-token --free --label {token}"
            ) from None
        except (library.PKCS11Error, RuntimeError, OSError) as error:
            raise ModuleAbsent(
                f"{module}: this PKCS#11 library cannot be used ({type(error).__name__}). Is it installed?"
            ) from None
        return cls(library, session, token)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Log out."""
        self._session.close()

    @property
    def place(self) -> str:
        """The token."""
        return f"PKCS#11 token {self._token}"

    def records(self) -> list[KeyRecord]:
        """All keys of this program in the token, in the order of their ids."""
        found = (_named(key.label) for key in self._objects())
        named = [entry for entry in found if entry is not None]
        return [
            KeyRecord(key_id, *self._measured(key_id), created_ms, parent)
            for key_id, created_ms, parent in sorted(named, key=lambda entry: entry[0])
        ]

    def add(self, key_id: KeyId, key: CardKey, *, created_ms: int, parent: KeyId | None = None) -> KeyRecord:
        """Put a new key into the token, from which it does not come out again."""
        if any(record.id == key_id for record in self.records()):
            raise exists(key_id, self.place)
        attribute = self._pkcs11.Attribute
        label = f"vafa {key_id} made {created_ms}" + (f" from {parent}" if parent else "")
        try:
            self._session.create_object(
                {
                    attribute.CLASS: self._pkcs11.ObjectClass.SECRET_KEY,
                    attribute.KEY_TYPE: self._pkcs11.KeyType.AES,
                    attribute.VALUE: key.raw,
                    attribute.LABEL: label,
                    attribute.ID: str(key_id).encode("ascii"),
                    attribute.TOKEN: True,
                    attribute.PRIVATE: True,
                    attribute.SENSITIVE: True,
                    attribute.EXTRACTABLE: False,
                    attribute.MODIFIABLE: False,
                    attribute.ENCRYPT: True,
                    attribute.DECRYPT: False,
                    attribute.SIGN: False,
                    attribute.VERIFY: False,
                    attribute.WRAP: False,
                    attribute.UNWRAP: False,
                }
            )
        except self._pkcs11.PKCS11Error as error:
            self._fail("took no new key", error)
        return KeyRecord(key_id, *self._measured(key_id), created_ms, parent)

    def derive(self, key_id: KeyId, diversification_input: bytes) -> CardKey:
        """The key below, by AN10922, computed in the token."""
        key = self._object(key_id)
        return diversify_with(partial(self._encrypt, key), key.key_length // 8, diversification_input)

    def key(self, key_id: KeyId) -> CardKey:
        """Never given: `KeyStaysInside`."""
        self._object(key_id)
        raise KeyStaysInside(f"{self.place} keeps {key_id} to itself, as it should. Derive from it instead.")

    def _measured(self, key_id: KeyId) -> tuple[int, bytes]:
        """Bits and check value: the CMAC over a block of zeros, by the one operation that these keys
        allow.
        """
        key = self._object(key_id)
        first_subkey, _ = subkeys_of(self._encrypt(key, _ZERO_BLOCK))
        return int(key.key_length), self._encrypt(key, first_subkey)[:_CHECK_BYTES]

    def _encrypt(self, key: Any, data: bytes) -> bytes:
        try:
            mechanism = self._pkcs11.Mechanism.AES_CBC
            return bytes(key.encrypt(data, mechanism=mechanism, mechanism_param=_ZERO_BLOCK))
        except self._pkcs11.PKCS11Error as error:
            self._fail("did not compute with its key", error)

    def _objects(self) -> list[Any]:
        attribute = self._pkcs11.Attribute
        return list(self._session.get_objects({attribute.CLASS: self._pkcs11.ObjectClass.SECRET_KEY}))

    def _object(self, key_id: KeyId) -> Any:
        attribute = self._pkcs11.Attribute
        wanted = {
            attribute.CLASS: self._pkcs11.ObjectClass.SECRET_KEY,
            attribute.ID: str(key_id).encode("ascii"),
        }
        if not (found := list(self._session.get_objects(wanted))):
            raise unknown(key_id, self.place)
        if len(found) > 1:
            raise KeyStoreError(
                f"{self.place} has {len(found)} keys {key_id}, which is one too many. Nothing was used;"
                " remove what was put there by hand."
            )
        return found[0]

    def _fail(self, what: str, error: Exception) -> Never:
        # By kind alone: what a module says of itself may quote what it was given.
        raise StoreUnusable(f"{self.place} {what} ({type(error).__name__}).") from None


def _named(label: str) -> tuple[KeyId, int, KeyId | None] | None:
    """What a label says of a key of ours; None for keys of others."""
    if (found := _LABEL.fullmatch(label)) is None:
        return None
    parent = KeyId.parse(found["parent"]) if found["parent"] else None
    return KeyId.parse(found["id"]), int(found["created"]), parent


def _library() -> Any:
    try:
        return importlib.import_module("pkcs11")
    except ImportError:
        raise ModuleAbsent(
            "Hardware modules need python-pkcs11. Install it: pip install 'vafa[cards]'."
        ) from None
