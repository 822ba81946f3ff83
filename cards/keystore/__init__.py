"""Where the keys of the hierarchy are kept: a sealed file by default, a hardware module by PKCS#11.

A `KeyStore` gives away no more than it must: `derive` makes the keys below one of its keys by AN10922, which
a module does inside; only a sealed file can also give the key itself.
"""

from cards.keystore.issuing import key_ring, newest_version, rotate
from cards.keystore.opening import STORE_WORDS, open_store
from cards.keystore.pkcs11 import Pkcs11Store
from cards.keystore.sealed import SealedFileStore
from cards.keystore.store import (
    KeyExists,
    KeyId,
    KeyPurpose,
    KeyRecord,
    KeyStaysInside,
    KeyStore,
    KeyStoreError,
    KeyUnknown,
    ModuleAbsent,
    StoreTampered,
    StoreUnusable,
    WrongPassphrase,
)

__all__ = [
    "STORE_WORDS",
    "KeyExists",
    "KeyId",
    "KeyPurpose",
    "KeyRecord",
    "KeyStaysInside",
    "KeyStore",
    "KeyStoreError",
    "KeyUnknown",
    "ModuleAbsent",
    "Pkcs11Store",
    "SealedFileStore",
    "StoreTampered",
    "StoreUnusable",
    "WrongPassphrase",
    "key_ring",
    "newest_version",
    "open_store",
    "rotate",
]
