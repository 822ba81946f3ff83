"""A bureau at the terminal, as docs/cards/bureau.md tells it, with virtual cards."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner, Result

from cards.cli.cards import app
from cards.keystore import SealedFileStore, rotate
from cards.keystore import sealed as sealed_module
from cards.keystore.for_node import verification_keys
from cards.keystore.store import KeyId, KeyPurpose
from node.identity.keys import private_key_pem, write_secret
from simulators.cards.shelf import Profile, take_out
from tests.cards.bureau import KINDS, MASTER, MERCHANT, NTAG, Kind
from tests.cards.jobs.batch import SIGNER, manifest_text

BASE = "https://card.saffron.example/t"
PASSPHRASE = "several words at random"
CHEAP = 14
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bureau's directory: a key store with both issuer keys, its passphrase, the orderer's key."""
    real = SealedFileStore.create.__func__  # type: ignore[attr-defined]  # a class method has it
    monkeypatch.setattr(
        sealed_module.SealedFileStore,
        "create",
        classmethod(lambda cls, path, words: real(cls, path, words, cost_log2=CHEAP)),
    )
    with closing(SealedFileStore.create(tmp_path / "keys", PASSPHRASE)) as store:
        store.add(KeyId(KeyPurpose.COALITION, "parsi", 1), MASTER, created_ms=1)
        rotate(store, "parsi", MERCHANT, now_ms=2)
    write_secret(tmp_path / "pass", PASSPHRASE.encode() + b"\n")
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    write_secret(tmp_path / "order.key", private_key_pem(key))
    return tmp_path


def vafa(desk: Path, *arguments: str | Path) -> Result:
    keys = ("--store", desk / "keys", "--passphrase-file", desk / "pass")
    needs_keys = arguments[0] in ("personalise", "verify", "retire", "node-keys")
    everything = (*arguments, *(keys if needs_keys else ()))
    return CliRunner().invoke(
        app, [str(one) for one in everything], env={"VAFA_JOB_SIGNER": SIGNER.public_uri}
    )


def ordered(desk: Path, kind: Kind, cards: int = 2) -> Path:
    job = desk / "JOB.toml"
    job.write_text(manifest_text(kind, cards=cards), encoding="utf-8")
    assert vafa(desk, "sign", job, "--key", (desk / "order.key").as_uri()).exit_code == 0
    return job


@by_kind
def test_an_order_becomes_cards_papers_and_in_the_end_dead_cards(desk: Path, kind: Kind) -> None:
    job = ordered(desk, kind)
    made = vafa(desk, "personalise", job, "--virtual", kind.name, "--json", "--trace", desk / "trace")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["finished"] == 2

    audit = json.loads(vafa(desk, "audit", job, "--json").stdout)
    assert (audit["finished"], audit["problems"]) == (2, [])
    assert vafa(desk, "print", job, "--to", desk / "faces.csv").exit_code == 0
    assert "6104000000018" in (desk / "faces.csv").read_text("utf-8-sig")

    card = sorted((desk / "JOB.work" / "virtual").iterdir())[0]
    base = ("--address-base", BASE) if kind is NTAG else ()
    met = json.loads(vafa(desk, "inspect", "--virtual", card, "--json").stdout)
    assert (met["profile"], met["issuer"]) == (kind.name, MERCHANT)
    verified = vafa(desk, "verify", "--virtual", card, *base, "--json")
    assert json.loads(verified.stdout)["alias"] == met["alias"], verified.output
    alone = vafa(desk, "retire", "--virtual", card, *base, "--yes", "--config", desk / "vafa.toml")
    assert (alone.exit_code, "nothing was done to the card" in alone.stderr) == (1, True)
    assert vafa(desk, "verify", "--virtual", card, *base).exit_code == 0
    retired = vafa(desk, "retire", "--virtual", card, *base, "--yes", "--card-only")
    assert (retired.exit_code, "vafa member card retire" in retired.stderr) == (0, True)
    assert vafa(desk, "verify", "--virtual", card, *base).exit_code == 1


def test_nothing_that_a_batch_leaves_behind_shows_a_key_but_the_virtual_cards(desk: Path) -> None:
    job = ordered(desk, NTAG)
    made = vafa(desk, "personalise", job, "--virtual", "ntag424", "--trace", desk / "trace")
    said = made.output + vafa(desk, "audit", job).output
    for path in [desk / "trace", *(desk / "JOB.work").glob("**/*.jsonl")]:
        said += path.read_text()
    said = said.replace(" ", "").lower()
    cards = [take_out(path, os.urandom) for path in (desk / "JOB.work" / "virtual").iterdir()]
    secret = [slot.value.hex() for card in cards for slot in card.memory.keys]  # type: ignore[union-attr]  # keys that these cards have
    assert len(secret) == 10
    for key in (*secret, MASTER.raw.hex()):
        assert not any(key[at : at + 8] in said for at in range(0, len(key) - 7, 2))


def test_a_batch_is_resumed_and_a_finished_one_left_alone(desk: Path) -> None:
    job = ordered(desk, NTAG, cards=1)
    cards = desk / "JOB.work" / "virtual"
    assert vafa(desk, "personalise", job, "--virtual", "ntag424").exit_code == 0
    (card,) = cards.iterdir()
    before = card.read_bytes()
    assert vafa(desk, "personalise", job, "--virtual", "ntag424").exit_code == 0
    assert card.read_bytes() == before


def test_what_cannot_be_done_is_said_in_a_sentence(desk: Path) -> None:
    job = ordered(desk, NTAG)
    wrong = vafa(desk, "personalise", job, "--virtual", "desfire")
    assert (wrong.exit_code, "not for desfire" in wrong.stderr) == (1, True)
    job.write_text(job.read_text() + "# a word more\n")
    changed = vafa(desk, "personalise", job, "--virtual", "ntag424")
    assert (changed.exit_code, "changed after it was signed" in changed.stderr) == (1, True)
    unknown = vafa(desk, "print", job, "--to", desk / "faces.doc", "--whole")
    assert unknown.exit_code != 0


@by_kind
def test_a_card_that_missed_two_rotations_can_still_be_verified_and_retired(desk: Path, kind: Kind) -> None:
    made = vafa(desk, "personalise", ordered(desk, kind, cards=1), "--virtual", kind.name)
    assert made.exit_code == 0, made.output
    with closing(SealedFileStore.open(desk / "keys", PASSPHRASE)) as store:
        for at_ms in (3, 4):
            rotate(store, "parsi", MERCHANT, now_ms=at_ms)
    (card,) = (desk / "JOB.work" / "virtual").iterdir()
    old = (*(("--address-base", BASE) if kind is NTAG else ()), "--key-version", "1", "--virtual", card)
    verified = vafa(desk, "verify", *old)
    assert verified.exit_code == 0, verified.output
    unknown = vafa(desk, "verify", *old[:-3], "9", "--virtual", card)
    assert (unknown.exit_code, "of version 9" in unknown.stderr) == (1, True)
    retired = vafa(desk, "retire", *old, "--yes", "--card-only")
    assert retired.exit_code == 0, retired.output
    assert vafa(desk, "verify", *old).exit_code == 1


def test_a_nodes_store_verifies_and_writes_no_card(desk: Path) -> None:
    write_secret(desk / "node.pass", b"other words at random\n")
    to = desk / "node-keys"
    made = vafa(desk, "node-keys", MERCHANT, "--to", to, "--node-passphrase-file", desk / "node.pass")
    assert made.exit_code == 0, made.output
    keys = verification_keys(str(to), desk / "node.pass", MERCHANT)
    assert keys == verification_keys(str(desk / "keys"), desk / "pass", MERCHANT)
    with closing(SealedFileStore.open(to, "other words at random")) as store:
        assert {record.id.purpose for record in store.records()} == {KeyPurpose.VERIFICATION}
    assert "no verification key of nobody" in str(verification_keys(str(to), desk / "node.pass", "nobody"))
    assert isinstance(verification_keys(str(to), desk / "pass", MERCHANT), str)
    assert isinstance(verification_keys(str(to), None, MERCHANT), str)


def test_every_kind_of_virtual_card_is_offered() -> None:
    assert {kind.name for kind in KINDS} == {profile.value for profile in Profile}
