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
    to: Annotated[Path, typer.Option("--to", dir_okay=False, help="The new store's file.")],
    node_passphrase_file: Annotated[
        Path, typer.Option(help="The private file with the new store's passphrase; the node reads it too.")
    ],
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Write a sealed file with the merchant's verification keys alone, for [cards] in vafa.toml.

    Make a new one, and restart the node, after every `vafa keys rotate`.
    """
    with opened(store, passphrase_file) as keeper:
        ring = key_ring(keeper, merchant, Domain.VERIFICATION)
    passphrase = functools.partial(secret, node_passphrase_file)("")
    with closing(SealedFileStore.create(to, passphrase)) as made:
        for issuer in ring:
            key_id = KeyId(KeyPurpose.VERIFICATION, merchant, issuer.version)
            made.add(key_id, issuer.key, created_ms=time.time_ns() // 1_000_000)
    versions = ", ".join(str(issuer.version) for issuer in ring)
    typer.echo(f"{to}: verification keys of {merchant}, version {versions}.")
