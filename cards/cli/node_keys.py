"""`vafa cards node-keys`: a store for a node, with the keys that verify and none that writes cards."""

from __future__ import annotations

import functools
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from cards.cli.terminal import PassphraseFileOption, StoreOption, opened, secret, spoken
from cards.keys import Domain
from cards.keystore import KeyId, KeyPurpose, SealedFileStore, key_ring


@spoken
def node_keys(
    merchant: Annotated[str, typer.Argument(help="Whose node it is.")],
    store: StoreOption,
    to: Annotated[
        Path, typer.Option("--to", dir_okay=False, help="The node's store, new or to be added to.")
    ],
    node_passphrase_file: Annotated[
        Path, typer.Option(help="The private file with that store's passphrase; the node reads it too.")
    ],
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Write a sealed file with the merchant's verification keys alone, for [cards] in vafa.toml.

    Run it again after every `vafa keys rotate`: it adds what is new, and a node that runs takes it up by
    itself.
    """
    with opened(store, passphrase_file) as keeper:
        ring = key_ring(keeper, merchant, Domain.VERIFICATION)
    passphrase = functools.partial(secret, node_passphrase_file)("")
    with closing(_opened(to, passphrase)) as kept:
        there = {record.id for record in kept.records()}
        # The newest last: between the two, the store has one key that cards may lack, and none that is wrong.
        for issuer in reversed(list(ring)):
            key_id = KeyId(KeyPurpose.VERIFICATION, merchant, issuer.version)
            if key_id not in there:
                kept.add(key_id, issuer.key, created_ms=time.time_ns() // 1_000_000)
    versions = ", ".join(str(issuer.version) for issuer in ring)
    typer.echo(f"{to}: verification keys of {merchant}, version {versions}.")


def _opened(to: Path, passphrase: str) -> SealedFileStore:
    return SealedFileStore.open(to, passphrase) if to.exists() else SealedFileStore.create(to, passphrase)
