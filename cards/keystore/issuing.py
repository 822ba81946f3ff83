"""Issuer keys out of a store: deriving the next version from the coalition's key, and the ring in use."""

from __future__ import annotations

from cards.keys import Domain, IssuerKey, KeyRing, issuer_input
from cards.keystore.store import KeyId, KeyPurpose, KeyRecord, KeyStaysInside, KeyStore, KeyUnknown

_PURPOSES = {Domain.MANAGEMENT: KeyPurpose.MANAGEMENT, Domain.VERIFICATION: KeyPurpose.VERIFICATION}


def newest_version(store: KeyStore, purpose: KeyPurpose, owner: str) -> int:
    """The highest version of a key in the store; 0 when it has none."""
    versions = (
        record.id.version
        for record in store.records()
        if (record.id.purpose, record.id.owner) == (purpose, owner)
    )
    return max(versions, default=0)


def rotate(store: KeyStore, coalition: str, merchant: str, *, now_ms: int) -> list[KeyRecord]:
    """Give a merchant the next version of both issuer keys, from the coalition's newest key.

    The first call makes version 1. Cards of the version before stay accepted; those before that no longer.
    Both keys get the same version, also after a run that was interrupted between them.
    """
    master_version = newest_version(store, KeyPurpose.COALITION, coalition)
    if not master_version:
        raise KeyUnknown(
            f"{store.place} has no key of coalition {coalition}. Begin with: vafa keys ceremony."
        )
    parent = KeyId(KeyPurpose.COALITION, coalition, master_version)
    present = {purpose: newest_version(store, purpose, merchant) for purpose in _PURPOSES.values()}
    # Unequal versions are the trace of an interrupted run: it is finished, not overtaken.
    interrupted = len(set(present.values())) > 1
    version = max(present.values()) + (0 if interrupted else 1)
    return [
        store.add(
            KeyId(purpose, merchant, version),
            store.derive(parent, issuer_input(merchant, domain, version)),
            created_ms=now_ms,
            parent=parent,
        )
        for domain, purpose in _PURPOSES.items()
        if present[purpose] < version
    ]


def key_ring(store: KeyStore, merchant: str, domain: Domain, version: int = 0) -> KeyRing:
    """A merchant's newest issuer key of a domain and the one before it, as verification accepts them.

    With a `version` that one and the one before: for a card that missed rotations. A store that keeps its
    keys inside derives them anew from the coalition's. `KeyUnknown` when it has none.
    """
    records = {
        record.id.version: record
        for record in store.records()
        if (record.id.purpose, record.id.owner) == (_PURPOSES[domain], merchant)
    }
    if not records:
        raise KeyUnknown(
            f"{store.place} has no {_PURPOSES[domain]} key of {merchant}. Make one: vafa keys rotate."
        )
    newest = version or max(records)
    if newest not in records:
        raise KeyUnknown(f"{store.place} has no {_PURPOSES[domain]} key of {merchant} of version {version}.")
    previous = records.get(newest - 1)
    return KeyRing(
        _issuer_key(store, records[newest], domain),
        _issuer_key(store, previous, domain) if previous else None,
    )


def _issuer_key(store: KeyStore, record: KeyRecord, domain: Domain) -> IssuerKey:
    merchant, version = record.id.owner, record.id.version
    try:
        key = store.key(record.id)
    except KeyStaysInside:
        if record.parent is None:
            raise
        key = store.derive(record.parent, issuer_input(merchant, domain, version))
    return IssuerKey(merchant, domain, version, key)
