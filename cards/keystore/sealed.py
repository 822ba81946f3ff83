"""Keys in a file that a passphrase seals: scrypt (RFC 7914) and AES-256-GCM (NIST SP 800-38D).

    magic (8) | version (1) | log2 N (1) | r (1) | p (1) | salt (16) | digest of these (8)
    verifier of the passphrase (16) | nonce (12) | sealed records with tag

The digest needs no passphrase, so that a damaged beginning is not taken for a wrong passphrase; the verifier
tells a wrong passphrase from records that were changed. Who changes the beginning and its digest on purpose
is told "wrong passphrase": without the passphrase nobody can know better.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from cards.crypto import CardKey, diversify
from cards.keys import cmac_check_value
from cards.keystore.store import (
    KeyId,
    KeyRecord,
    KeyStoreError,
    StoreTampered,
    StoreUnusable,
    WrongPassphrase,
    exists,
    unknown,
)
from node.identity.keys import SecretKey

MIN_PASSPHRASE_CHARACTERS = 12
MAX_FILE_BYTES = 4 * 1024 * 1024
COST_LOG2 = 17
"""N = 131,072 with r = 8: 128 MiB and about half a second for each guess."""

_MAGIC = b"VAFAKEYS"
_VERSION = 1
_COSTS = range(14, 21)
_R, _P = 8, 1
_SALT_BYTES, _DIGEST_BYTES, _VERIFIER_BYTES, _NONCE_BYTES = 16, 8, 16, 12
_HEAD_BYTES = len(_MAGIC) + 4 + _SALT_BYTES
_BEGINNING_BYTES = _HEAD_BYTES + _DIGEST_BYTES + _VERIFIER_BYTES


class _Kept(msgspec.Struct, frozen=True):
    id: str
    key: bytes
    created_ms: int
    parent: str | None = None

    def __repr__(self) -> str:
        return f"<key {self.id}>"


@dataclass(frozen=True, slots=True)
class _Seal:
    """The beginning of the file, and the key that seals the rest."""

    beginning: bytes
    sealing_key: SecretKey


class SealedFileStore:
    """A key store in one file. Every change rewrites the file whole, or leaves it as it was."""

    def __init__(self, path: Path, seal: _Seal, keys: dict[KeyId, _Kept]) -> None:
        self._path = path
        self._seal = seal
        self._keys = keys

    @classmethod
    def create(cls, path: Path, passphrase: str, *, cost_log2: int = COST_LOG2) -> Self:
        """Make an empty store in a new private file. `StoreUnusable` if the file is there already.

        `KeyStoreError` for a passphrase of fewer than 12 characters.
        """
        if len(passphrase) < MIN_PASSPHRASE_CHARACTERS:
            raise KeyStoreError(
                f"A passphrase has at least {MIN_PASSPHRASE_CHARACTERS} characters."
                " Take several words at random."
            )
        head = _MAGIC + bytes((_VERSION, cost_log2, _R, _P)) + os.urandom(_SALT_BYTES)
        store = cls(path, _sealed_by(head, passphrase), {})
        with store._locked():
            if path.exists():
                raise StoreUnusable(f"{path} is there already. Nothing was changed; choose another place.")
            store._write()
        return store

    @classmethod
    def open(cls, path: Path, passphrase: str) -> Self:
        """Open a store. `WrongPassphrase`, or `StoreTampered` when the passphrase is right and the rest is
        not.
        """
        content = _read(path)
        head, digest = content[:_HEAD_BYTES], content[_HEAD_BYTES : _HEAD_BYTES + _DIGEST_BYTES]
        if len(content) < _BEGINNING_BYTES + _NONCE_BYTES or not head.startswith(_MAGIC):
            raise StoreTampered(
                f"{path} is no key store, or its beginning is damaged. Restore it from a backup."
            )
        if head[len(_MAGIC)] != _VERSION:
            raise StoreUnusable(f"{path} was written by a newer version of this program. Use that one.")
        if digest != hashlib.sha256(head).digest()[:_DIGEST_BYTES] or head[len(_MAGIC) + 1] not in _COSTS:
            raise StoreTampered(f"{path}: its beginning is damaged. Restore it from a backup.")
        seal = _sealed_by(head, passphrase)
        if not hmac.compare_digest(seal.beginning, content[:_BEGINNING_BYTES]):
            raise WrongPassphrase(f"{path}: this is not its passphrase. Nothing was changed; try again.")
        return cls(path, seal, _opened(path, seal, content))

    @property
    def place(self) -> str:
        """The file."""
        return f"sealed file {self._path}"

    def records(self) -> list[KeyRecord]:
        """All keys, in the order of their ids."""
        return [_record(key_id, self._keys[key_id]) for key_id in sorted(self._keys)]

    def add(self, key_id: KeyId, key: CardKey, *, created_ms: int, parent: KeyId | None = None) -> KeyRecord:
        """Keep a new key: the file is replaced and synced before this returns."""
        kept = _Kept(str(key_id), key.raw, created_ms, str(parent) if parent else None)
        with self._locked():
            # Somebody else may have added keys since we read the file.
            self._keys = _opened(self._path, self._seal, _read(self._path))
            if key_id in self._keys:
                raise exists(key_id, self.place)
            self._keys[key_id] = kept
            try:
                self._write()
            except BaseException:
                del self._keys[key_id]
                raise
        return _record(key_id, kept)

    def derive(self, key_id: KeyId, diversification_input: bytes) -> CardKey:
        """The key below, by AN10922."""
        return diversify(self.key(key_id), diversification_input)

    def key(self, key_id: KeyId) -> CardKey:
        """The key itself."""
        if (kept := self._keys.get(key_id)) is None:
            raise unknown(key_id, self.place)
        return CardKey(kept.key)

    def close(self) -> None:
        """Forget the keys. What was added is in the file."""
        self._keys = {}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, whoever he is."""
        lock = self._path.with_name(f".{self._path.name}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self) -> None:
        nonce = os.urandom(_NONCE_BYTES)
        plain = msgspec.json.encode([self._keys[key_id] for key_id in sorted(self._keys)])
        sealed = AESGCM(self._seal.sealing_key.raw).encrypt(nonce, plain, self._seal.beginning)
        unfinished = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._seal.beginning + nonce + sealed)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _sealed_by(head: bytes, passphrase: str) -> _Seal:
    cost, salt = head[len(_MAGIC) + 1], head[-_SALT_BYTES:]
    # The same passphrase typed on another keyboard may come composed in another way.
    text = unicodedata.normalize("NFC", passphrase).encode("utf-8")
    derived = Scrypt(salt=salt, length=64, n=1 << cost, r=_R, p=_P).derive(text)
    digest = hashlib.sha256(head).digest()[:_DIGEST_BYTES]
    verifier = hmac.digest(derived[32:], b"vafa key store" + head, "sha256")[:_VERIFIER_BYTES]
    return _Seal(head + digest + verifier, SecretKey(derived[:32]))


def _opened(path: Path, seal: _Seal, content: bytes) -> dict[KeyId, _Kept]:
    start = _BEGINNING_BYTES + _NONCE_BYTES
    try:
        if content[:_BEGINNING_BYTES] != seal.beginning:
            raise InvalidTag
        plain = AESGCM(seal.sealing_key.raw).decrypt(
            content[_BEGINNING_BYTES:start], content[start:], seal.beginning
        )
        kept = msgspec.json.decode(plain, type=list[_Kept])
        return {KeyId.parse(entry.id): entry for entry in kept}
    except (InvalidTag, msgspec.DecodeError, ValueError):
        raise StoreTampered(
            f"{path}: the passphrase is right, but the keys were changed or damaged. None was used;"
            " restore the file from a backup, and find out who could write to it."
        ) from None


def _record(key_id: KeyId, kept: _Kept) -> KeyRecord:
    key = CardKey(kept.key)
    parent = KeyId.parse(kept.parent) if kept.parent else None
    return KeyRecord(key_id, len(key) * 8, cmac_check_value(key), kept.created_ms, parent)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise StoreUnusable(
            f"{path}: cannot be read ({error.strerror}). Make one: vafa keys ceremony."
        ) from None
    if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid not in (os.geteuid(), 0):
        raise StoreUnusable(
            f"{path}: other users can reach it. It was not used. If nobody has copied it: chmod 600 {path}"
        )
    if len(content) > MAX_FILE_BYTES:
        raise StoreTampered(f"{path} is too long for a key store. Restore it from a backup.")
    return content
