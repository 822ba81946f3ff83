"""A bureau beside a running node: cards are enrolled, blocked, found again and retired by commands."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cards.apdu import card_chain
from cards.keys import Domain
from cards.keystore import KeyId, KeyPurpose, SealedFileStore
from cards.profiles import ntag424
from cards.profiles.native_card import NativeVisit
from node.actors import upkeep
from node.identity.keys import private_key_pem, write_secret
from node.proto.vafa.common.v1.identifier_pb2 import IDENTIFIER_KIND_CARD_TAP, Identifier
from node.proto.vafa.pos.v1 import inquiry_pb2, pos_service_pb2_grpc
from simulators.cards.shelf import put_away, take_out
from simulators.refusal import refusal_of_error
from tests.cards.bureau import KINDS, MERCHANT, NTAG, Kind, issuer
from tests.cards.jobs.batch import SIGNER, manifest_text
from tests.cli.cli_shop import Ran, Shop, run_vafa

BASE = "https://card.saffron.example/t"
PASSPHRASE = "several words at random"
CHEAP = 14


class Saffron(Shop):
    """The cards' own merchant, with a bureau's directory beside its installation."""

    @property
    def desk(self) -> Path:
        return self.home.parent

    def cards(self, *arguments: object, node: bool = True) -> Ran:
        keys = ("--store", self.desk / "keys", "--passphrase-file", self.desk / "pass")
        at = ("--address", self.served.address, "--config", self.config_path) if node else ()
        return run_vafa("cards", *arguments, *(keys if arguments[0] != "sign" else ()), *at)

    def listed(self, number: str) -> list[dict[str, Any]]:
        """What the node knows of the cards of whoever has this one."""
        answer = self.vafa("member", "card", "list", f"card:{number}", "--json").json()
        found: list[dict[str, Any]] = answer["cards"]
        return found


@pytest.fixture
def saffron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Saffron]:
    home = tmp_path / "node"
    listen = ("--listen", "--enrol-listen", "--metrics")
    options = [word for name in listen for word in (name, "127.0.0.1:0")]
    made = run_vafa("init", home, "--merchant", MERCHANT, "--partitions", 4, "--shards", 1, *options)
    assert made.status == 0, made.err
    monkeypatch.setenv("VAFA_JOB_SIGNER", SIGNER.public_uri)
    with closing(SealedFileStore.create(tmp_path / "keys", PASSPHRASE, cost_log2=CHEAP)) as store:
        for domain, purpose in ((Domain.MANAGEMENT, "management"), (Domain.VERIFICATION, "verification")):
            store.add(KeyId(KeyPurpose(purpose), MERCHANT, 1), issuer(domain).key, created_ms=1)
    write_secret(tmp_path / "pass", PASSPHRASE.encode() + b"\n")
    write_secret(
        tmp_path / "order.key", private_key_pem(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    )
    monkeypatch.setattr(upkeep, "LOOK_SECONDS", 0.05)
    shop = Saffron(home)
    node_keys(tmp_path, 1)
    shop.set("key_store", '"../node-keys"')
    shop.set("passphrase_file", '"../pass"')
    with shop.serving():
        yield shop


def node_keys(desk: Path, *versions: int) -> None:
    """The store that the node opens, as `vafa cards node-keys` leaves it."""
    (desk / "node-keys").unlink(missing_ok=True)
    with closing(SealedFileStore.create(desk / "node-keys", PASSPHRASE, cost_log2=CHEAP)) as store:
        for version in versions:
            key = issuer(Domain.VERIFICATION, version).key
            store.add(KeyId(KeyPurpose.VERIFICATION, MERCHANT, version), key, created_ms=1)


def a_card(saffron: Saffron, kind: Kind) -> tuple[Path, str]:
    """One card of a job, made and enrolled; its file and its number."""
    job = saffron.desk / "JOB.toml"
    text = manifest_text(kind, '[enrolment]\naccounts = "personal"\n')
    job.write_text(text, encoding="utf-8")
    signed = saffron.cards("sign", job, "--key", (saffron.desk / "order.key").as_uri(), node=False)
    assert signed.status == 0, signed.err
    made = saffron.cards("personalise", job, "--virtual", kind.name)
    assert made.status == 0, made.err
    (card,) = (saffron.desk / "JOB.work" / "virtual").iterdir()
    met = json.loads(run_vafa("cards", "inspect", "--virtual", card, "--json").out)
    return card, met["alias"]


def identified_by_a_tap(saffron: Saffron, card: Path) -> str:
    """What the node says to a tap: the name of the refusal, or nothing."""
    virtual = take_out(card, os.urandom)
    virtual.tap()
    address = ntag424.read_address(NativeVisit(card_chain(virtual), os.urandom))
    virtual.power_off()
    put_away(virtual, card)
    shown = Identifier(kind=IDENTIFIER_KIND_CARD_TAP, value=address)
    request = inquiry_pb2.IdentifyRequest(identifier=shown)
    pem = {name: (saffron.home / name).read_bytes() for name in ("ca.crt", "admin.crt", "admin.key")}
    credentials = grpc.ssl_channel_credentials(pem["ca.crt"], pem["admin.key"], pem["admin.crt"])
    with grpc.secure_channel(saffron.served.address, credentials) as channel:
        try:
            pos_service_pb2_grpc.PosServiceStub(channel).Identify(request, timeout=10)
        except grpc.RpcError as error:
            return refusal_of_error(error).metadata["card"]  # type: ignore[arg-type]  # what grpc raises here
    return ""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_card_is_listed_blocked_and_retired_by_the_commands(saffron: Saffron, kind: Kind) -> None:
    card, number = a_card(saffron, kind)
    (found,) = saffron.listed(number)
    assert (found["number"], found["card"]["state"]) == (number, "CHIP_STATE_ACTIVE")
    shown = saffron.vafa("member", "show", f"card:{number}").out
    assert f"{number}, {kind.name}" in shown
    assert saffron.vafa("member", "card", "block", f"card:{number}").status == 0
    assert saffron.listed(number)[0]["card"]["state"] == "CHIP_STATE_BLOCKED"
    assert saffron.vafa("member", "card", "unblock", f"card:{number}").status == 0
    base = ("--address-base", BASE) if kind is NTAG else ()
    retired = saffron.cards("retire", "--virtual", card, *base, "--yes")
    assert retired.status == 0, retired.err
    assert "refuses this card from now on" in retired.err
    assert saffron.listed(number)[0]["card"]["state"] == "CHIP_STATE_RETIRED"
    again = saffron.vafa("member", "card", "unblock", f"card:{number}")
    assert (again.status, "never used again" in again.err) == (1, True)
    assert saffron.cards("verify", "--virtual", card, *base, node=False).status == 1


def test_a_retired_card_is_refused_by_name_though_its_chip_is_still_alive(saffron: Saffron) -> None:
    card, number = a_card(saffron, NTAG)
    assert identified_by_a_tap(saffron, card) == ""
    assert saffron.vafa("member", "card", "retire", f"card:{number}").status == 0
    assert identified_by_a_tap(saffron, card) == "blocked_card"


def test_what_the_commands_cannot_find_they_say(saffron: Saffron) -> None:
    saffron.vafa("member", "enrol", "--given-name", "Ali", "--card", "6104000000999")
    assert "No chip" in saffron.vafa("member", "card", "list", "card:6104000000999").out
    plain = saffron.vafa("member", "card", "block", "card:6104000000999")
    assert (plain.status, "No chip is noted" in plain.err) == (1, True)
    phone = saffron.vafa("member", "card", "block", "phone:09121110001")
    assert phone.status == 2


def test_without_the_node_a_card_is_left_alive_unless_that_is_asked_for(saffron: Saffron) -> None:
    card, _ = a_card(saffron, NTAG)
    away = ("--address", "127.0.0.1:1", "--config", saffron.config_path)
    refused = saffron.cards("retire", "--virtual", card, "--address-base", BASE, "--yes", *away, node=False)
    assert (refused.status, "nothing was done to the card" in refused.err) == (1, True)
    assert saffron.cards("verify", "--virtual", card, "--address-base", BASE, node=False).status == 0


def test_a_rotation_is_taken_up_by_the_running_node(saffron: Saffron) -> None:
    card, _ = a_card(saffron, NTAG)
    with closing(SealedFileStore.open(saffron.desk / "keys", PASSPHRASE)) as store:
        for domain, purpose in ((Domain.MANAGEMENT, "management"), (Domain.VERIFICATION, "verification")):
            key_id = KeyId(KeyPurpose(purpose), MERCHANT, 2)
            store.add(key_id, issuer(domain, 2).key, created_ms=2)
    renewing = saffron.desk / "RENEW.toml"
    text = manifest_text(NTAG, "from_version = 1\n", head='action = "rotate"\n', version=2)
    renewing.write_text(text, encoding="utf-8")
    assert (
        saffron.cards("sign", renewing, "--key", (saffron.desk / "order.key").as_uri(), node=False).status
        == 0
    )
    (saffron.desk / "RENEW.work").mkdir()
    (saffron.desk / "JOB.work" / "virtual").rename(saffron.desk / "RENEW.work" / "virtual")
    renewed = saffron.cards("personalise", renewing, "--virtual", "ntag424", node=False)
    assert renewed.status == 0, renewed.err
    card = saffron.desk / "RENEW.work" / "virtual" / card.name
    assert identified_by_a_tap(saffron, card) == "foreign_card", "the node has version 1 alone"
    to = ("--to", saffron.desk / "node-keys", "--node-passphrase-file", saffron.desk / "pass")
    told = saffron.cards("node-keys", MERCHANT, *to, node=False)
    assert (told.status, "version 2, 1" in told.out) == (0, True), told.err
    give_up_at = time.monotonic() + 60
    while identified_by_a_tap(saffron, card):
        assert time.monotonic() < give_up_at, "the node never takes the new keys"
        time.sleep(0.05)
