"""What a relay is given to carry says nothing of the member, and comes out at the receiver as it went in."""

from __future__ import annotations

from node.identity.beside import SealingKey
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.wire.coalition import carried_bytes
from node.wire.coalition_beside import sealed_for, unsealed
from tests.docs.protocol_page import SALT, accrue, posted, relayed

CARD = "6273000011000001"
KEY = SealingKey(b"x" * 32)
PLAIN = carried_bytes(accrue(), identifier_kind=1, identifier=CARD, salt=SALT)


def test_identifier_proof_and_salt_are_sealed_and_come_out_as_they_were() -> None:
    message = envelope_pb2.Carried.FromString(PLAIN)
    message.proof.confirmation_code = "963796"
    carried = message.SerializeToString()
    sealed = sealed_for(KEY.uri, carried)
    assert sealed is not None
    assert not any(secret in sealed for secret in (CARD.encode(), b"963796", SALT))
    assert unsealed(KEY, sealed) == carried


def test_the_envelope_stays_as_it_was_signed() -> None:
    sealed = envelope_pb2.Carried.FromString(relayed())
    assert sealed.envelope == envelope_pb2.Carried.FromString(PLAIN).envelope
    assert unsealed(KEY, relayed()) == PLAIN


def test_what_has_nothing_beside_it_but_evidence_goes_as_it_is_even_without_a_key() -> None:
    word = carried_bytes(posted(), evidence=[envelope_pb2.Envelope(header=b"h").SerializeToString()])
    assert sealed_for("", word) == word
    assert unsealed(KEY, word) == word


def test_without_a_key_of_the_receivers_nothing_that_names_a_member_is_given_away() -> None:
    assert sealed_for("", PLAIN) is None
    assert sealed_for("x25519:" + "0" * 64, PLAIN) is None


def test_what_was_sealed_for_another_or_beside_another_message_does_not_open() -> None:
    assert unsealed(SealingKey(b"y" * 32), relayed()) is None
    swapped = envelope_pb2.Carried.FromString(relayed())
    swapped.envelope.header = posted().header_bytes
    assert unsealed(KEY, swapped.SerializeToString()) is None


def test_what_a_relay_puts_beside_the_seal_counts_for_nothing() -> None:
    changed = envelope_pb2.Carried.FromString(relayed())
    changed.identifier.kind, changed.identifier.value = 1, "5022000000000000"  # type: ignore[assignment]  # the protos' own numbers
    changed.proof.confirmation_code = "000000"
    assert unsealed(KEY, changed.SerializeToString()) == PLAIN


def test_bytes_that_are_no_message_are_left_to_whoever_refuses_them() -> None:
    assert unsealed(KEY, b"\xff\xff") == b"\xff\xff"
