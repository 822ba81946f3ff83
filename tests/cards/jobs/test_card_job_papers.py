"""What is signed and what is chained: a manifest or a journal that was changed is refused by name."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from cards.jobs import JobRefused, audit_job, read_signed, sign_manifest
from tests.cards.bureau import JAVACARD, NTAG
from tests.cards.jobs.batch import FIRST, SIGNER, Hand, a_batch, blank_cards, manifest_text, signed_job

OTHER = "ed25519:" + "00" * 32


def refused(directory: Path, text: str, match: str) -> None:
    path = directory / "JOB.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(JobRefused, match=match):
        sign_manifest(path, SIGNER)


def test_a_manifest_changed_after_signing_is_refused(tmp_path: Path) -> None:
    signed_job(tmp_path, manifest_text(NTAG))
    path = tmp_path / "JOB.toml"
    path.write_text(path.read_text().replace("count = 1", "count = 2"))
    with pytest.raises(JobRefused, match="changed after it was signed"):
        read_signed(path, SIGNER.public_uri)


def test_a_manifest_of_another_signer_or_of_none_is_refused(tmp_path: Path) -> None:
    signed_job(tmp_path, manifest_text(NTAG))
    with pytest.raises(JobRefused, match="not the trusted key"):
        read_signed(tmp_path / "JOB.toml", OTHER)
    (tmp_path / "JOB.toml.sig").unlink()
    with pytest.raises(JobRefused, match="not signed"):
        read_signed(tmp_path / "JOB.toml", SIGNER.public_uri)


@pytest.mark.parametrize(
    ("was", "becomes", "match"),
    [
        ("count = 1", "count = 0", "count"),
        ("count = 1", "count = 1\nsurprise = 1", "surprise"),
        ('profile = "ntag424"', 'profile = "paper"', "no kind of card"),
        ("https://", "http://", "https"),
        ("version = 1", "version = 128", "version"),
        ("version = 1", "version = 1\nfrom_version = 1", "rotation"),
        ('"6104000000017"', '"9999"\naction = "rotate"', "rotation"),
    ],
)
def test_a_manifest_that_cannot_be_made_is_refused_where_it_is_wrong(
    tmp_path: Path, was: str, becomes: str, match: str
) -> None:
    refused(tmp_path, manifest_text(NTAG).replace(was, becomes), match)


def test_numbers_must_fit_and_only_ntags_tap(tmp_path: Path) -> None:
    wide = manifest_text(NTAG, cards=2).replace(FIRST, "9999")
    refused(tmp_path, wide, "width")
    refused(tmp_path, manifest_text(JAVACARD, head='address_base = "https://a.example/t"\n'), "do not tap")


def test_a_list_of_members_is_bound_by_its_hash(tmp_path: Path) -> None:
    raw = f"number,account,name\n{FIRST},acc-1,مریم احمدی\n".encode()
    (tmp_path / "members.csv").write_bytes(raw)
    bound = f'[members]\nfile = "members.csv"\nsha256 = "{hashlib.sha256(raw).hexdigest()}"\n'
    job = signed_job(tmp_path, manifest_text(NTAG, bound))
    assert job.members[FIRST].name == "مریم احمدی"

    (tmp_path / "members.csv").write_bytes(raw.replace(b"acc-1", b"acc-2"))
    with pytest.raises(JobRefused, match="SHA-256"):
        read_signed(tmp_path / "JOB.toml", SIGNER.public_uri)


def test_a_member_of_no_card_of_the_batch_is_refused(tmp_path: Path) -> None:
    raw = b"number,account,name\n9,acc-1,Maryam\n"
    (tmp_path / "members.csv").write_bytes(raw)
    bound = f'[members]\nfile = "members.csv"\nsha256 = "{hashlib.sha256(raw).hexdigest()}"\n'
    refused(tmp_path, manifest_text(NTAG, bound), "not of this batch")


def test_a_job_is_not_run_with_the_keys_of_another(tmp_path: Path) -> None:
    batch = a_batch(tmp_path, NTAG, version=2)
    batch.keys = a_batch(tmp_path, NTAG, version=1).keys
    with pytest.raises(JobRefused, match="no issuer keys of version 2"):
        batch.run(Hand([]))


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        ("change a line", "chain is broken"),
        ("take a line out", "chain is broken"),
        ("cut the end", "lines are missing|does not hold"),
        ("take the file", "lines are missing|does not hold"),
        ("swap two cards", "chain is broken"),
        ("write nonsense", "no line of a journal"),
        ("add a card", "never gave this number"),
    ],
)
def test_a_journal_that_was_touched_is_found_out(tmp_path: Path, damage: str, match: str) -> None:
    batch = a_batch(tmp_path, NTAG, cards=2)
    batch.run(Hand(blank_cards(NTAG, 2)))
    work = tmp_path / "work"
    one, two = sorted((work / "cards").iterdir())
    lines = one.read_bytes().splitlines(keepends=True)
    match damage:
        case "change a line":
            one.write_bytes(b"".join([*lines[:-2], lines[-2].replace(b"accepted", b"enrolled"), lines[-1]]))
            assert one.read_bytes() != b"".join(lines)
        case "take a line out":
            one.write_bytes(b"".join([*lines[:3], *lines[4:]]))
        case "cut the end":
            one.write_bytes(b"".join(lines[:-1]))
        case "take the file":
            one.unlink()
        case "swap two cards":
            content = one.read_bytes()
            one.write_bytes(two.read_bytes())
            two.write_bytes(content)
        case "write nonsense":
            one.write_bytes(b"hello\n")
        case "add a card":
            (work / "cards" / "6104000000099.jsonl").write_bytes(b"")
    problems = audit_job(work, batch.job).problems
    assert problems
    assert re.search(match, "\n".join(problems)), problems
