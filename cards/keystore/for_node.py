"""For a node that verifies cards: its merchant's verification keys out of a store, and nothing else."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from cards.keys import Domain
from cards.keystore.issuing import key_ring
from cards.keystore.opening import open_store
from cards.keystore.store import KeyStoreError
from node.identity.keys import KeyUnusable, read_secret


def verification_keys(
    place: str, passphrase_file: Path | None, merchant: str
) -> tuple[tuple[int, bytes], ...] | str:
    """The newest verification key and the one before it as (version, key); or in words why there are none.

    A node starts without a person beside it, so the passphrase or PIN is in a private file.
    """
    if passphrase_file is None:
        return "name the private file with its passphrase as well (passphrase_file)."
    try:
        secret = read_secret(passphrase_file).decode("utf-8").splitlines()[0]
        with closing(open_store(place, lambda words: secret)) as store:
            ring = key_ring(store, merchant, Domain.VERIFICATION)
    except (KeyStoreError, KeyUnusable) as wrong:
        return str(wrong)
    except (UnicodeDecodeError, IndexError):
        return f"{passphrase_file} holds no passphrase: one line of text in UTF-8."
    return tuple((issuer.version, issuer.key.raw) for issuer in ring)
