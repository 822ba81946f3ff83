"""The keys by which this node signs what it says to partners: the node's own, and those it changed to since.

Each is an Ed25519 key in a private file beside the other secrets. Which of them may sign at a moment is the
directory's to say; an old one is kept, since what it signed is shown again for years.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.identity.keys import KeyUnusable, private_key_pem, read_secret, write_secret
from node.identity.signers import Signer, signer_from_uri

MAX_EXCHANGE_KEYS = 64
_PATTERN = "exchange-*.key"


class ExchangeKeys:
    """All exchange keys of a node, by public URI."""

    def __init__(self, signers: dict[str, Signer]) -> None:
        self._signers = signers

    @property
    def uris(self) -> tuple[str, ...]:
        """The public keys, the node's own first."""
        return tuple(self._signers)

    @property
    def newest(self) -> Signer:
        """The key that was made last."""
        return self._signers[self.uris[-1]]

    def valid_one(self, admitted: Callable[[str], bool]) -> Signer:
        """The newest key that `admitted` says may sign now; KeyUnusable where there is none."""
        for uri in reversed(self.uris):
            if admitted(uri):
                return self._signers[uri]
        raise KeyUnusable(
            "The directory admits none of this node's keys at this time. Make a join request "
            "(`vafa join COALITION`) and have the operator publish it."
        )


def load_exchange_keys(directory: Path, node_key_uri: str) -> ExchangeKeys:
    """The keys in a directory of secrets, oldest first; KeyUnusable naming a file that cannot be used."""
    paths = sorted(directory.glob(_PATTERN))
    found = [signer_from_uri(uri) for uri in (node_key_uri, *(path.absolute().as_uri() for path in paths))]
    return ExchangeKeys({signer.public_uri: signer for signer in found})


def exchange_key_pems(directory: Path, node_key_uri: str) -> tuple[bytes, ...]:
    """The same keys as they lie in their files, to be handed to this node's own shards and nobody else."""
    own = Path(unquote(urlsplit(node_key_uri).path))
    return tuple(read_secret(path) for path in (own, *sorted(directory.glob(_PATTERN))))


def new_exchange_key(directory: Path) -> Path:
    """Makes one more key, which signs nothing before a directory names it; gives its file."""
    known = sorted(directory.glob(_PATTERN))
    if len(known) >= MAX_EXCHANGE_KEYS:
        raise KeyUnusable(f"{directory}: {MAX_EXCHANGE_KEYS} exchange keys are enough. None was made.")
    path = directory / f"exchange-{len(known) + 1:03d}-{os.urandom(4).hex()}.key"
    write_secret(path, private_key_pem(Ed25519PrivateKey.generate()))
    return path
