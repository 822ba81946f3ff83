"""`vafa keys` at the terminal: a ceremony from the first prompt to the signed paper, rotation, lists."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cards.cli.keys import app
from cards.crypto import CardKey, xor
from cards.keys import Domain, cmac_check_value, issuer_key
from cards.keystore import KeyId, KeyPurpose, SealedFileStore
from cards.keystore import sealed as sealed_module
from tests.cards.keystore.conftest import CHEAP, PASSPHRASE, PIN

FIRST, SECOND = "9f3b61c708de4a52b1e47f902c6d83a5", "4c82d0f17b3596ea0d2fc8b4613e975a"
KEY = CardKey(xor(bytes.fromhex(FIRST), bytes.fromhex(SECOND)))
CEREMONY = f"{PASSPHRASE}\n{PASSPHRASE}\nZahra\n{FIRST}\ny\nOmid\n{SECOND}\ny\n"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores are made at the least cost; what they cost usually is for another test."""
    real = SealedFileStore.create.__func__  # type: ignore[attr-defined]  # a class method has it

    def create(cls: type[SealedFileStore], path: Path, passphrase: str) -> SealedFileStore:
        made: SealedFileStore = real(cls, path, passphrase, cost_log2=CHEAP)
        return made

    monkeypatch.setattr(sealed_module.SealedFileStore, "create", classmethod(create))


def vafa(*arguments: str | Path, typed: str = "") -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=typed)


def ceremony(directory: Path, typed: str = CEREMONY, *more: str) -> Result:
    return vafa(
        "ceremony", "coalition/parsi/1", "--store", directory / "keys", "--components", "2",
        "--witness", "Amir", "--record", directory, *more, typed=typed,
    )  # fmt: skip


def test_a_ceremony_keeps_the_key_and_writes_its_record(tmp_path: Path) -> None:
    result = ceremony(tmp_path)

    assert result.exit_code == 0, result.output
    assert (
        SealedFileStore.open(tmp_path / "keys", PASSPHRASE).key(KeyId(KeyPurpose.COALITION, "parsi", 1))
        == KEY
    )
    record = json.loads((tmp_path / "ceremony-coalition-parsi-1.json").read_bytes())
    assert record["key_check_value"] == cmac_check_value(KEY).hex().upper()
    assert [part["custodian"] for part in record["contributions"]] == ["Zahra", "Omid"]
    assert "signature" in (tmp_path / "ceremony-coalition-parsi-1.txt").read_text("utf-8")


def test_neither_screen_nor_files_show_a_byte_of_key_or_component(tmp_path: Path) -> None:
    result = ceremony(tmp_path)

    everything = result.output.encode() + b"".join(
        path.read_bytes() for path in sorted(tmp_path.iterdir()) if path.is_file()
    )
    for secret in (FIRST, SECOND, KEY.raw.hex()):
        raw = bytes.fromhex(secret)
        assert not any(raw[at : at + 4].hex().encode() in everything.lower() for at in range(13))
        assert raw not in everything
    assert PASSPHRASE.encode() not in everything


def test_a_component_mistyped_is_typed_again(tmp_path: Path) -> None:
    typed = CEREMONY.replace(f"Zahra\n{FIRST}\ny\n", f"Zahra\n{FIRST[:-1]}\n{SECOND}\nn\n{FIRST}\ny\n")
    result = ceremony(tmp_path, typed)

    assert result.exit_code == 0, result.output
    assert cmac_check_value(KEY).hex().upper() in result.output


def test_a_custodian_is_no_witness_and_nothing_is_kept(tmp_path: Path) -> None:
    result = ceremony(tmp_path, CEREMONY.replace("Omid", "amir"))

    assert result.exit_code == 1
    assert "witness" in result.stderr
    assert SealedFileStore.open(tmp_path / "keys", PASSPHRASE).records() == []
    assert not list(tmp_path.glob("ceremony-*"))


def test_a_key_that_is_there_is_found_out_before_anybody_types(tmp_path: Path) -> None:
    ceremony(tmp_path)
    result = ceremony(tmp_path, f"{PASSPHRASE}\n")

    assert result.exit_code == 1
    assert "next version" in result.stderr
    assert "Component" not in result.stdout


def test_a_record_that_cannot_be_written_stands_on_the_screen(tmp_path: Path) -> None:
    (tmp_path / "ceremony-coalition-parsi-1.json").touch()
    result = ceremony(tmp_path)

    assert result.exit_code == 1
    assert "SHA-256 of the record's file" in result.stdout
    assert "The key is kept" in result.stderr


def test_keys_are_rotated_and_listed(tmp_path: Path) -> None:
    ceremony(tmp_path)
    password = tmp_path / "passphrase"
    password.write_text(PASSPHRASE + "\n", encoding="utf-8")
    password.chmod(0o600)
    store = ["--store", str(tmp_path / "keys"), "--passphrase-file", str(password)]
    for _ in range(2):
        assert vafa("rotate", "anar", "--coalition", "parsi", *store).exit_code == 0

    listed = json.loads(vafa("list", "--json", *store).stdout)
    assert [entry["key"] for entry in listed] == [
        "coalition/parsi/1",
        "management/anar/1",
        "management/anar/2",
        "verification/anar/1",
        "verification/anar/2",
    ]
    newest = issuer_key(KEY, "anar", Domain.VERIFICATION, 2)
    assert listed[-1]["check_value"] == cmac_check_value(newest.key).hex().upper()
    assert "coalition/parsi/1" in vafa("list", *store).stdout


def test_a_wrong_passphrase_is_said_in_a_sentence(tmp_path: Path) -> None:
    ceremony(tmp_path)
    result = vafa("list", "--store", tmp_path / "keys", typed="not the passphrase\n")

    assert (result.exit_code, "Traceback" in result.output) == (1, False)
    assert "not its passphrase" in result.stderr


@pytest.mark.parametrize("name", ["coalition", "coalition/Parsi/1", "coalition/parsi/200"])
def test_a_key_that_has_no_name(name: str, tmp_path: Path) -> None:
    result = vafa("ceremony", name, "--store", tmp_path / "keys", "--witness", "Amir", "--record", tmp_path)

    assert result.exit_code == 2
    assert not (tmp_path / "keys").exists()


def test_a_ceremony_into_a_token(softhsm: Path, token: str, tmp_path: Path) -> None:
    store = f"pkcs11:token={token.replace(' ', '%20')}?module-path={softhsm}"
    typed = CEREMONY.replace(f"{PASSPHRASE}\n{PASSPHRASE}\n", f"{PIN}\n")
    result = vafa(
        "ceremony", "coalition/parsi/1", "--store", store, "--components", "2", "--witness", "Amir",
        "--record", tmp_path, typed=typed,
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    pin = tmp_path / "pin"
    pin.write_text(PIN, encoding="ascii")
    pin.chmod(0o600)
    listed = vafa("list", "--store", store, "--json", "--passphrase-file", pin)
    assert json.loads(listed.stdout)[0]["check_value"] == cmac_check_value(KEY).hex().upper()
