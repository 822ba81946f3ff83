"""A key store by the words with which a person names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, unquote

from cards.keystore.pkcs11 import Pkcs11Store
from cards.keystore.sealed import SealedFileStore
from cards.keystore.store import KeyStore, StoreUnusable

STORE_WORDS = "A file, or pkcs11:token=LABEL?module-path=/path/to/library.so (RFC 7512)."
_SCHEME = "pkcs11:"


def open_store(place: str, secret: Callable[[str], str]) -> KeyStore:
    """Open a store that exists. `secret` is asked once, with words, for the passphrase or PIN.

    `StoreUnusable` for a place that means nothing, and whatever the store itself refuses with.
    """
    if not place.startswith(_SCHEME):
        return SealedFileStore.open(Path(place), secret(f"Passphrase of {place}"))
    token, module = _parsed(place)
    return Pkcs11Store.open(module, token, secret(f"PIN of token {token}"))


def is_module(place: str) -> bool:
    """Whether a place names a token, which exists before the first key, rather than a file."""
    return place.startswith(_SCHEME)


def _parsed(place: str) -> tuple[str, Path]:
    path, _, query = place.removeprefix(_SCHEME).partition("?")
    attributes = dict(part.partition("=")[::2] for part in path.split(";"))
    module = parse_qs(query).get("module-path", [])
    if "token" not in attributes or len(module) != 1:
        raise StoreUnusable(f"{place}: this names no key store. {STORE_WORDS}")
    return unquote(attributes["token"]), Path(module[0])
