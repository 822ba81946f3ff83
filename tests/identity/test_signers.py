"""Signatures: over exact bytes of one type, by the key that a URI names."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from node.identity.keys import KeyUnusable, create_secrets, new_tls_key, private_key_pem, write_secret
from node.identity.signers import SignatureBroken, signer_from_uri, verifier_from_uri

BACKUP = "application/vnd.vafa.backup"
PAYLOAD = "دفتر کل".encode()


@pytest.fixture
def node_key_uri(tmp_path: Path) -> str:
    # A directory with spaces and letters beyond ASCII: the URI must survive them.
    return create_secrets(
        tmp_path / "فروشگاه من" / "secrets", "bazaar", now_ms=1_750_000_000_000
    ).node_key_uri


def test_what_the_nodes_key_signs_verifies_under_its_public_uri(node_key_uri: str) -> None:
    signer = signer_from_uri(node_key_uri)
    signature = signer.sign(BACKUP, PAYLOAD)
    verifier_from_uri(signer.public_uri).verify(BACKUP, PAYLOAD, signature)
    assert signer_from_uri(node_key_uri).public_uri == signer.public_uri


def test_the_signed_bytes_are_those_of_the_dsse_protocol(node_key_uri: str) -> None:
    signer = signer_from_uri(node_key_uri)
    signature = signer.sign("http://example.com/HelloWorld", b"hello world")
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer.public_uri.removeprefix("ed25519:")))
    # The example of the protocol's own page.
    key.verify(signature, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world")


def test_a_signature_holds_for_no_other_bytes_type_or_key(node_key_uri: str, tmp_path: Path) -> None:
    signer = signer_from_uri(node_key_uri)
    signature = signer.sign(BACKUP, PAYLOAD)
    verifier = verifier_from_uri(signer.public_uri)
    other = signer_from_uri(create_secrets(tmp_path / "other", "bazaar", now_ms=0).node_key_uri)
    for kind, payload, signed in [
        (BACKUP, PAYLOAD + b" ", signature),
        ("application/vnd.vafa.programme", PAYLOAD, signature),
        (BACKUP, PAYLOAD, signature[:-1]),
        (BACKUP, PAYLOAD, b""),
        (BACKUP, PAYLOAD, bytes(64)),
        (BACKUP, PAYLOAD, other.sign(BACKUP, PAYLOAD)),
    ]:
        with pytest.raises(SignatureBroken):
            verifier.verify(kind, payload, signed)


@pytest.mark.parametrize(
    "uri", ["", "pkcs11:token=vafa", "node.key", "/etc/passwd", "FILE", "file:/nowhere/node.key"]
)
def test_a_key_that_cannot_be_opened_is_named(uri: str) -> None:
    with pytest.raises(KeyUnusable):
        signer_from_uri(uri)


def test_a_signing_key_that_others_can_read_or_of_another_kind_is_not_used(
    node_key_uri: str, tmp_path: Path
) -> None:
    write_secret(tmp_path / "tls.key", private_key_pem(new_tls_key()))
    write_secret(tmp_path / "garbage.key", b"garbage")
    for name in ("tls.key", "garbage.key"):
        with pytest.raises(KeyUnusable, match=f"{name} is not an unencrypted Ed25519 key"):
            signer_from_uri((tmp_path / name).as_uri())
    (tmp_path / "فروشگاه من" / "secrets" / "node.key").chmod(0o644)
    with pytest.raises(KeyUnusable, match="other users"):
        signer_from_uri(node_key_uri)


@pytest.mark.parametrize(
    "uri", ["", "ed25519", "ed25519:", "ed25519:" + "00" * 31, "ed25519:zz", "rsa:" + "00" * 32]
)
def test_what_is_no_public_key_is_refused(uri: str) -> None:
    with pytest.raises(KeyUnusable):
        verifier_from_uri(uri)


def test_no_repr_of_a_signer_shows_its_key(node_key_uri: str, tmp_path: Path) -> None:
    pem = (tmp_path / "فروشگاه من" / "secrets" / "node.key").read_text()
    shown = repr(signer_from_uri(node_key_uri))
    assert not any(line in shown for line in pem.splitlines())
