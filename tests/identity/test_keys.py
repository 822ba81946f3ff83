"""The node's secrets on disk: private, all or none, and never shown."""

import os
import stat
from pathlib import Path

import pytest

from node.identity.keys import (
    KeyUnusable,
    SecretKey,
    create_secrets,
    load_secrets,
    private_key_pem,
    read_secret,
    write_secret,
)

NOW_MS = 1_750_000_000_000


def test_a_new_nodes_secrets_load_again_as_they_were_made(tmp_path: Path) -> None:
    made = create_secrets(tmp_path / "data" / "secrets", "bazaar", now_ms=NOW_MS)
    loaded = load_secrets(tmp_path / "data" / "secrets")
    assert loaded.index_key == made.index_key != made.master_key == loaded.master_key
    assert loaded.authority.certificate == made.authority.certificate
    assert private_key_pem(loaded.server_key) == private_key_pem(made.server_key)
    assert loaded.node_key_uri.startswith("file:///")
    assert len(loaded.ray_token_path.read_text()) == 64


def test_every_secret_file_and_its_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        create_secrets(tmp_path / "secrets", "bazaar", now_ms=NOW_MS)
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    files = list((tmp_path / "secrets").iterdir())
    assert len(files) == 7
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_two_nodes_share_no_secret(tmp_path: Path) -> None:
    one, other = (create_secrets(tmp_path / name, "bazaar", now_ms=NOW_MS) for name in ("one", "other"))
    assert one.index_key != other.index_key
    assert one.master_key != other.master_key
    names = [file.name for file in (tmp_path / "one").iterdir()]
    assert all(
        (tmp_path / "one" / name).read_bytes() != (tmp_path / "other" / name).read_bytes() for name in names
    )


def test_secrets_that_are_there_are_never_overwritten(tmp_path: Path) -> None:
    made = create_secrets(tmp_path / "secrets", "bazaar", now_ms=NOW_MS)
    with pytest.raises(KeyUnusable, match="Nothing changed"):
        create_secrets(tmp_path / "secrets", "bazaar", now_ms=NOW_MS)
    assert load_secrets(tmp_path / "secrets").master_key == made.master_key
    assert [entry.name for entry in tmp_path.iterdir()] == ["secrets"]


def test_a_directory_with_anything_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "note.txt").write_text("mine")
    with pytest.raises(KeyUnusable):
        create_secrets(tmp_path / "secrets", "bazaar", now_ms=NOW_MS)
    assert (tmp_path / "secrets" / "note.txt").read_text() == "mine"
    assert [entry.name for entry in (tmp_path / "secrets").iterdir()] == ["note.txt"]


@pytest.mark.parametrize(
    "name", ["ca.key", "ca.crt", "server.key", "index.key", "master.key", "node.key", "ray.token"]
)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_a_secret_that_other_users_can_reach_is_not_used(tmp_path: Path, name: str, mode: int) -> None:
    create_secrets(tmp_path / "secrets", "bazaar", now_ms=NOW_MS)
    (tmp_path / "secrets" / name).chmod(mode)
    with pytest.raises(KeyUnusable, match=f"{name}: other users") as refused:
        load_secrets(tmp_path / "secrets")
    assert "chmod 600" in str(refused.value)


@pytest.mark.parametrize("name", ["ca.key", "ca.crt", "server.key", "index.key", "master.key"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 64, b"00" * 31, b"A" * 20_000])
def test_a_damaged_or_missing_secret_is_named_and_not_shown(
    tmp_path: Path, name: str, content: bytes
) -> None:
    create_secrets(tmp_path / "secrets", "bazaar", now_ms=NOW_MS)
    path = tmp_path / "secrets" / name
    path.write_bytes(content)
    with pytest.raises(KeyUnusable, match=name) as refused:
        load_secrets(tmp_path / "secrets")
    assert "garbage" not in str(refused.value)
    path.unlink()
    with pytest.raises(KeyUnusable, match=f"{name}: cannot be read"):
        load_secrets(tmp_path / "secrets")


def test_a_ca_key_of_another_node_is_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        create_secrets(tmp_path / name, "bazaar", now_ms=NOW_MS)
    (tmp_path / "one" / "ca.key").write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    with pytest.raises(KeyUnusable, match=r"ca\.key"):
        load_secrets(tmp_path / "one")


def test_a_secret_file_is_never_written_over(tmp_path: Path) -> None:
    write_secret(tmp_path / "till.key", b"first")
    with pytest.raises(FileExistsError):
        write_secret(tmp_path / "till.key", b"second")
    assert read_secret(tmp_path / "till.key") == b"first"
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        write_secret(tmp_path / "link", b"second")
    assert not (tmp_path / "elsewhere").exists()


def test_a_secret_that_could_not_be_written_whole_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_secret(tmp_path / "till.key", b"half")
    assert not (tmp_path / "till.key").exists()
    with pytest.raises(KeyUnusable, match="No space"):
        create_secrets(tmp_path / "secrets", "bazaar", now_ms=NOW_MS)
    assert list(tmp_path.iterdir()) == []


def test_a_secret_that_belongs_to_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "till.key"
    write_secret(path, b"key")
    if path.stat().st_uid == 0:
        # A file of root's is nobody else's; only root can give it away.
        os.chown(path, 4321, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(KeyUnusable, match="belongs to another user"):
        read_secret(path)


def test_a_directory_is_not_a_secret(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable):
        read_secret(tmp_path)


def test_no_repr_shows_a_key(tmp_path: Path) -> None:
    made = create_secrets(tmp_path / "secrets", "bazaar", now_ms=NOW_MS)
    shown = f"{made!r} {made} {made.index_key!r} {made.master_key}"
    for key in (made.index_key, made.master_key):
        assert key.raw.hex() not in shown
        assert repr(key.raw) not in shown
    assert "BEGIN" not in shown


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_secret_key_has_exactly_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SecretKey(b"k" * length)
