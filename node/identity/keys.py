"""The node's secrets on disk: private files, made once and all together, refused if others can read them."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from node.identity.ca import Authority, load_authority, new_authority

_Key = TypeVar("_Key")

_MAX_SECRET_BYTES = 16_384
_CA_CERTIFICATE = "ca.crt"
_CA_KEY = "ca.key"
_SERVER_KEY = "server.key"
_INDEX_KEY = "index.key"
_MASTER_KEY = "master.key"
_NODE_KEY = "node.key"
_RAY_TOKEN = "ray.token"  # noqa: S105 - a file's name


class KeyUnusable(Exception):
    """A secret file that is missing, damaged, open to others, or in the way. Shows nothing of its content."""


@dataclass(frozen=True, slots=True)
class SecretKey:
    """32 bytes that no repr, and so no log and no traceback, shows."""

    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise ValueError("a secret key is 32 bytes")


@dataclass(frozen=True, slots=True)
class NodeSecrets:
    """Everything secret that makes this node itself. Losing the master key loses every person's data."""

    authority: Authority
    server_key: ec.EllipticCurvePrivateKey = field(repr=False)
    index_key: SecretKey
    """Keys the digests of identifiers; changing it would orphan every phone number and card."""
    master_key: SecretKey
    """Wraps every person's own key, and keys what is kept of requests."""
    node_key_uri: str
    """Where the signer finds the key by which others know this node."""
    ray_token_path: Path
    """The file that every process of this node's Ray shows to the others (RAY_AUTH_TOKEN_PATH)."""


def new_tls_key() -> ec.EllipticCurvePrivateKey:
    """A fresh key of the kind that grpc's TLS takes, for a server or a till."""
    return ec.generate_private_key(ec.SECP256R1())


def private_key_pem(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
    """The key as PKCS #8 in PEM, unencrypted: for `write_secret` or the TLS layer, and nowhere else."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def create_secrets(directory: Path, merchant: str, *, now_ms: int) -> NodeSecrets:
    """Make a new node's secrets in `directory`, which must not exist or be empty: all of them, or none.

    They are written and synced beside it and then renamed into place, so that a power cut leaves no half set.
    `KeyUnusable` when secrets are there already: they are never overwritten.
    """
    authority = new_authority(merchant, now_ms=now_ms)
    files = {
        _CA_CERTIFICATE: authority.certificate_pem,
        _CA_KEY: private_key_pem(authority.key),
        _SERVER_KEY: private_key_pem(new_tls_key()),
        _NODE_KEY: private_key_pem(Ed25519PrivateKey.generate()),
        _INDEX_KEY: os.urandom(32).hex().encode(),
        _MASTER_KEY: os.urandom(32).hex().encode(),
        _RAY_TOKEN: os.urandom(32).hex().encode(),
    }
    directory.parent.mkdir(parents=True, exist_ok=True)
    unfinished = directory.with_name(f".{directory.name}.{os.urandom(4).hex()}")
    unfinished.mkdir(mode=0o700)
    try:
        for name, content in files.items():
            write_secret(unfinished / name, content)
        unfinished.rename(directory)
    except OSError as error:
        for name in files:
            (unfinished / name).unlink(missing_ok=True)
        unfinished.rmdir()
        raise KeyUnusable(
            f"{directory}: secrets cannot be made there ({error.strerror}). Nothing changed."
        ) from None
    _sync_directory(directory.parent)
    return load_secrets(directory)


def load_secrets(directory: Path) -> NodeSecrets:
    """The secrets that `create_secrets` made; `KeyUnusable` naming the file that cannot be used, and why."""
    certificate = _opened(directory / _CA_CERTIFICATE, x509.load_pem_x509_certificate)
    # Others open these two; that they are there and private is still for the start to find out.
    for name in (_NODE_KEY, _RAY_TOKEN):
        read_secret(directory / name)
    return NodeSecrets(
        authority=_opened(directory / _CA_KEY, lambda pem: load_authority(certificate, pem)),
        server_key=_opened(directory / _SERVER_KEY, _tls_key),
        index_key=_opened(directory / _INDEX_KEY, _secret_key),
        master_key=_opened(directory / _MASTER_KEY, _secret_key),
        node_key_uri=(directory / _NODE_KEY).absolute().as_uri(),
        ray_token_path=(directory / _RAY_TOKEN).absolute(),
    )


def write_secret(path: Path, content: bytes) -> None:
    """Write a new private file (0600), synced; `FileExistsError` rather than ever overwriting one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def read_secret(path: Path) -> bytes:
    """A private file's content; `KeyUnusable` if others can read or change it, or it belongs to another."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(_MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise KeyUnusable(f"{path}: cannot be read ({error.strerror}).") from None
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyUnusable(f"{path}: belongs to another user, who may know it. It was not used.")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise KeyUnusable(
            f"{path}: other users can reach it. It was not used. If nobody has read it: chmod 600 {path}"
        )
    if not stat.S_ISREG(status.st_mode) or not 0 < len(content) <= _MAX_SECRET_BYTES:
        raise KeyUnusable(f"{path}: is not a secret of this node.")
    return content


def _opened(path: Path, parse: Callable[[bytes], _Key]) -> _Key:
    content = read_secret(path)
    try:
        return parse(content)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyUnusable(
            f"{path}: is damaged, or not of this node. Restore it from where you keep it."
        ) from None


def _tls_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not a key for TLS")
    return key


def _secret_key(text: bytes) -> SecretKey:
    return SecretKey(bytes.fromhex(text.decode("ascii")))


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
