"""An operator's directory on disk: its terms, its key, what merchants asked, what was published.

coalition.toml            the terms, for people
operator.key              the key that signs the directory, 0600
operator.next.key         the key that will, while one is being changed for the other
requests/PARTNER.request  the newest request of each partner that was admitted
published/NNNNNN.directory  every directory that was published
ID.directory              the newest of them, to hand to the partners
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.identity.keys import private_key_pem, write_secret
from node.identity.signers import Signer, signer_from_uri
from node.wire.coalition_directory import (
    DIRECTORY_LABEL,
    JOIN_REQUEST_LABEL,
    JoinRequest,
    SignedDirectory,
    Unreadable,
    armoured,
    read_directory,
    read_join_request,
    unarmoured,
)
from node.wire.coalition_terms import Terms, read_terms

TERMS_NAME = "coalition.toml"
KEY_NAME = "operator.key"
NEXT_KEY_NAME = "operator.next.key"


class OperatorRefused(Exception):
    """What an operator asked for is not done; the text says why, and what to do."""


class OperatorHome:
    """The files. Reading raises OperatorRefused with the file that is wrong."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.terms_path = directory / TERMS_NAME

    def make(self, terms_toml: str) -> None:
        """Makes them anew; refuses where there is anything already."""
        if self.terms_path.exists() or (self.directory / KEY_NAME).exists():
            raise OperatorRefused(
                f"{self.directory} is an operator's directory already. Nothing was changed."
            )
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("requests", "published"):
            (self.directory / name).mkdir(exist_ok=True)
        self._new_key(KEY_NAME)
        write_text(self.terms_path, terms_toml)

    def terms(self) -> Terms:
        """The terms as they stand in the file."""
        try:
            return read_terms(self.terms_path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            raise OperatorRefused(
                f"{self.terms_path}: there is no such file. `vafa operator init` makes one, or name --dir."
            ) from None
        except (Unreadable, UnicodeDecodeError) as wrong:
            raise OperatorRefused(f"{self.terms_path}: {wrong} Nothing was published.") from None

    def signer(self) -> Signer:
        """The key that signs now."""
        return signer_from_uri((self.directory / KEY_NAME).absolute().as_uri())

    def next_signer(self) -> Signer | None:
        """The key that will sign, where one is being changed for the other."""
        path = self.directory / NEXT_KEY_NAME
        return signer_from_uri(path.absolute().as_uri()) if path.exists() else None

    def make_next_key(self) -> Signer:
        """Makes the key that will sign; refuses where there is one already."""
        if (self.directory / NEXT_KEY_NAME).exists():
            raise OperatorRefused(
                f"{self.directory / NEXT_KEY_NAME} is there already. Publish, and finish with --finish."
            )
        self._new_key(NEXT_KEY_NAME)
        found = self.next_signer()
        assert found is not None
        return found

    def take_next_key(self) -> None:
        """Lets the next key sign from now on; the old one is kept beside it."""
        key = self.directory / KEY_NAME
        old = self.directory / f"operator.old-{len(list(self.directory.glob('operator.old-*'))) + 1}.key"
        os.link(key, old)
        os.replace(self.directory / NEXT_KEY_NAME, key)

    def requests(self) -> dict[str, JoinRequest]:
        """The newest admitted request of each partner."""
        found = {}
        for path in sorted((self.directory / "requests").glob("*.request")):
            found[path.stem] = read_request(path)
        return found

    def keep_request(self, partner_id: str, text: str) -> None:
        """Keeps a request that was admitted."""
        write_text(self.directory / "requests" / f"{partner_id}.request", text)

    def published(self) -> SignedDirectory | None:
        """The newest published directory."""
        paths = sorted((self.directory / "published").glob("*.directory"))
        if not paths:
            return None
        try:
            text = paths[-1].read_text(encoding="utf-8")
            return read_directory(unarmoured(DIRECTORY_LABEL, text))
        except (Unreadable, UnicodeDecodeError) as wrong:
            raise OperatorRefused(
                f"{paths[-1]}: {wrong} Restore it from a backup, or from a partner."
            ) from None

    def publish(self, signed: SignedDirectory) -> Path:
        """Keeps a signed directory and puts it where partners get it; gives that file."""
        text = armoured(DIRECTORY_LABEL, signed.data)
        write_text(self.directory / "published" / f"{signed.directory.version:06d}.directory", text)
        newest = self.directory / f"{signed.directory.coalition_id}.directory"
        write_text(newest, text)
        return newest

    def _new_key(self, name: str) -> None:
        write_secret(self.directory / name, private_key_pem(Ed25519PrivateKey.generate()))


def read_request(path: Path) -> JoinRequest:
    """A merchant's request from its file; raises OperatorRefused."""
    try:
        return read_join_request(unarmoured(JOIN_REQUEST_LABEL, path.read_text(encoding="utf-8-sig")))
    except (Unreadable, UnicodeDecodeError) as wrong:
        raise OperatorRefused(f"{path}: {wrong}") from None


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all, synced."""
    draft = path.with_name(f".{path.name}.new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
