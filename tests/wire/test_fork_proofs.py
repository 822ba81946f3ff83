"""A fork proof holds by the directory alone; whatever proves less is refused in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.coalition.envelopes import Draft, Message
from node.coalition.forks import MAX_LINKS, Link, follow
from node.coalition.messages import Hello, LaneHead, MessageType
from node.proto.vafa.coalition.v1 import exchange_pb2
from node.wire.coalition import EnvelopeSealer, envelope_bytes
from node.wire.coalition_directory import (
    DIRECTORY_LABEL,
    Unreadable,
    armoured,
    sign_directory,
)
from node.wire.coalition_trust import KnownDirectories
from node.wire.fork_proofs import FORK_PROOF_LABEL, MAX_FORK_PROOF_BYTES, fork_proof_bytes, read_fork_proof
from tests.cli.cli_shop import run_vafa
from tests.wire.coalition_parties import NOW_MS, signer
from tests.wire.coalition_terms import OPERATOR, SOUND

SIGNED = sign_directory(SOUND, OPERATOR)
KNOWN = KnownDirectories([SIGNED])


def hello(hash_byte: int, *, epoch: int = 4, number: int = 7, seed: int = 2, to: str = "nile") -> Message:
    """What saffron says it has of its lane 3."""
    key = signer(seed)
    sealer = EnvelopeSealer(SOUND.coalition_id, "saffron", lambda _: key)
    head = LaneHead(3, number, bytes((hash_byte,)) * 32, epoch)
    return sealer.seal(Draft(MessageType.HELLO, 3, epoch, b"", Hello(head, b"n" * 16, b"")), to, NOW_MS)


def proof(one: Message, other: Message, coalition_id: str = SOUND.coalition_id) -> bytes:
    return fork_proof_bytes(envelope_bytes(one), envelope_bytes(other), coalition_id, SOUND.version)


def test_two_hashes_under_one_number_prove_who_told_two_histories_to_whom() -> None:
    fork = read_fork_proof(proof(hello(1), hello(2)), KNOWN)
    assert (fork.home_id, fork.acquirer_id, fork.lane, fork.epoch, fork.number) == (
        "saffron",
        "nile",
        3,
        4,
        7,
    )
    assert fork.hashes == (b"\x01" * 32, b"\x02" * 32)
    assert fork.keys == (signer(2).public_uri, signer(2).public_uri)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (proof(hello(1), hello(1)), "do not contradict"),
        (proof(hello(1), hello(2, epoch=5)), "do not contradict"),
        (proof(hello(1), hello(2, number=8)), "do not contradict"),
        (proof(hello(1), hello(2, to="zagros")), "do not contradict"),
        (proof(hello(1), hello(2, seed=9)), "second message does not hold: BAD_SIGNATURE"),
        (proof(hello(1), hello(2), "other"), "of coalition 'other'"),
        (proof(hello(1), hello(2))[:-40], "no fork proof|does not hold"),
        (b"", "of coalition ''"),
        (bytes(MAX_FORK_PROOF_BYTES + 1), "at most"),
    ],
)
def test_whatever_proves_less_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        read_fork_proof(data, KNOWN)


BEFORE = b"b" * 32
LINKS = (Link(b"request 8", b"core 8"), Link(b"", b"a cut"))


def chained(
    *,
    links: tuple[Link, ...] = LINKS,
    before: bytes = BEFORE,
    number: int = 9,
    said: bytes = b"o" * 32,
    epoch: int = 4,
) -> bytes:
    """Saffron signs what `LINKS` lead to from record 7, and another record 7."""
    head = LaneHead(3, number, follow(BEFORE, LINKS), 4)
    first = signed(Hello(head, b"n" * 16, b""), 4)
    second = signed(Hello(LaneHead(3, 7, said, epoch), b"m" * 16, b""), epoch)
    return fork_proof_bytes(
        envelope_bytes(first), envelope_bytes(second), SOUND.coalition_id, SOUND.version, links, before
    )


def signed(body: Hello, epoch: int) -> Message:
    sealer = EnvelopeSealer(SOUND.coalition_id, "saffron", lambda _: signer(2))
    return sealer.seal(Draft(MessageType.HELLO, 3, epoch, b"", body), "nile", NOW_MS)


def test_a_record_below_the_head_is_contradicted_by_the_head_through_the_records_between() -> None:
    fork = read_fork_proof(chained(), KNOWN)
    assert (fork.number, fork.epoch, fork.records_between) == (7, 4, 2)
    assert fork.hashes == (BEFORE, b"o" * 32)


@pytest.mark.parametrize(
    "data",
    [
        chained(said=BEFORE),
        chained(before=b"x" * 32),
        chained(links=LINKS[:1]),
        chained(links=(*LINKS, LINKS[0])),
        chained(links=LINKS[::-1]),
        chained(number=10),
        chained(epoch=3),
    ],
)
def test_records_that_do_not_lead_from_the_one_number_to_the_other_prove_nothing(data: bytes) -> None:
    with pytest.raises(Unreadable, match="do not contradict"):
        read_fork_proof(data, KNOWN)


def test_more_records_between_than_bounded_are_not_followed() -> None:
    data = chained(links=(Link(b"", b""),) * (MAX_LINKS + 1))
    with pytest.raises(Unreadable, match="at most"):
        read_fork_proof(data, KNOWN)


def test_a_message_that_was_changed_proves_nothing() -> None:
    message = exchange_pb2.ForkProof.FromString(proof(hello(1), hello(2)))
    message.second.body = hello(3).body_bytes
    with pytest.raises(Unreadable, match="BAD_SIGNATURE"):
        read_fork_proof(message.SerializeToString(), KNOWN)


def test_anybody_verifies_the_file_with_the_signed_directory(tmp_path: Path) -> None:
    directory, good, bad = (tmp_path / name for name in ("a.directory", "good.proof", "bad.proof"))
    directory.write_text(armoured(DIRECTORY_LABEL, SIGNED.data), "utf-8")
    good.write_text(armoured(FORK_PROOF_LABEL, proof(hello(1), hello(2))), "utf-8")
    bad.write_text(armoured(FORK_PROOF_LABEL, proof(hello(1), hello(1))), "utf-8")
    shown = run_vafa("lane", "verify-proof", good, "--directory", directory)
    assert shown.status == 0, shown.err
    assert "saffron told two histories of lane 3 to nile" in shown.out
    said = run_vafa("lane", "verify-proof", good, "--directory", directory, "--json")
    assert said.json()["proven"] is True
    assert said.json()["operator_key"] == OPERATOR.public_uri
    refused = run_vafa("lane", "verify-proof", bad, "--directory", directory)
    assert refused.status == 1
    assert "do not contradict" in refused.err
    refused = run_vafa("lane", "verify-proof", bad, "--directory", directory, "--json")
    assert (refused.status, json.loads(refused.out)["proven"]) == (1, False)
