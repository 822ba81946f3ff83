"""How the coalition comes to be, by the same commands that people type."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from simulators import shoppers
from simulators.demo.coalition.commands import vafa
from simulators.demo.coalition.merchants import COALITION, PURSE, TRADERS, Merchant, Trader, members_of
from simulators.demo.coalition.phones import Phones
from simulators.demo.pockets import Pockets
from simulators.demo.screen import Screen
from simulators.launch import NodeFailed, NodeUnderTest, launch_node

OBJECT_STORE_BYTES = 78_643_200
"""The least that a node's private Ray takes: three of them share this machine."""

POINT_MICRO = 10_000
"""What a point is worth between the merchants, in millionths of the currency: as at their own tills."""

_KEY = re.compile(r"ed25519:[0-9a-f]{64}")


class Operator:
    """The operator's directory on disk, and the commands that work on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key = ""

    def init(self) -> None:
        """Makes it, with the worth of a point set in the terms."""
        said = vafa(
            "operator", "init", str(self.directory), "--coalition", COALITION,
            "--currency", shoppers.CURRENCY, "--purse", PURSE,
        )  # fmt: skip
        found = _KEY.search(said)
        if found is None:
            raise NodeFailed(f"`vafa operator init` told no key:\n{said}")
        self.key = found[0]
        terms = self.directory / "coalition.toml"
        text, count = re.subn(
            r"(?m)^(accrual|redemption)_micro = .*$",
            rf"\1_micro = {POINT_MICRO}",
            terms.read_text(encoding="utf-8"),
        )
        assert count == 2, "the template of the terms names both worths once"
        terms.write_text(text, encoding="utf-8")

    def admit(self, merchant_id: str, request: Path) -> None:
        """Admits a merchant's request."""
        vafa("operator", "admit", merchant_id, "--request", str(request), "--dir", str(self.directory))

    def publish(self) -> Path:
        """Signs the next directory; the file."""
        vafa("operator", "publish", "--dir", str(self.directory))
        return self.directory / f"{COALITION}.directory"


def launch(directory: Path, trader: Trader, pockets: Pockets | None = None) -> tuple[NodeUnderTest, Phones]:
    """A merchant's node, installed and serving, at ports that it keeps when it is restarted."""
    phones = Phones(directory / "messages.jsonl")
    node = launch_node(
        directory,
        merchant=trader.merchant_id,
        name=trader.name,
        time_zone=trader.time_zone,
        currency=shoppers.CURRENCY,
        currency_exponent=shoppers.CURRENCY_EXPONENT,
        shards=1,
        settings={
            "merchant.language": trader.language,
            "merchant.country": trader.country,
            "ray.object_store_bytes": OBJECT_STORE_BYTES,
            "coalition.peer_listen": "127.0.0.1:0",
            "coalition.message_gateway": "file",
            "coalition.message_file": str(phones.path),
            **(pockets.settings if pockets is not None else {}),
        },
    )
    node.start()
    node.keep_addresses()
    return node, phones


def found(
    directory: Path,
    members: int,
    seed: int,
    screen: Screen,
    started: list[NodeUnderTest],
    publish: Callable[[Operator], Path],
) -> list[Merchant]:
    """Operator and merchants, linked by the signed directory that `publish` makes. Each node that serves is
    put into `started` at once, so that whoever called can stop them all, whatever happens."""
    operator = Operator(directory / "operator")
    with screen.step(f"founding the coalition {COALITION!r} with `vafa operator init`"):
        operator.init()
    merchants = []
    for number, trader in enumerate(TRADERS):
        with screen.step(f"starting the node of {trader.merchant_id}, and asking to join"):
            pockets = Pockets(trader.merchant_id, directory / "cards" / trader.merchant_id)
            node, phones = launch(directory / trader.merchant_id, trader, pockets)
            started.append(node)
            share = members_of(number, members // len(TRADERS), seed)
            merchant = Merchant(trader, node, share, phones, pockets)
            operator.admit(trader.merchant_id, ask_to_join(merchant))
            merchants.append(merchant)
        with screen.step(f"personalising the chip cards of {trader.merchant_id}'s members", len(share)):
            pockets.fill(share)
    with screen.step("publishing the signed directory, which all three take into use"):
        take_into_use(merchants, publish(operator), operator.key)
    return merchants


def ask_to_join(merchant: Merchant, endpoint: str = "") -> Path:
    """The merchant's request, which holds nothing secret. `endpoint` is where partners are to dial it; empty
    is where its node listens."""
    request = merchant.node.directory / f"{merchant.merchant_id}.request"
    vafa(
        "join", COALITION, "--range", f"card:{merchant.card_range}",
        "--endpoint", endpoint or merchant.node.addresses.peers, "--out", str(request),
        "--config", str(merchant.node.config_path),
    )  # fmt: skip
    return request


def take_into_use(merchants: Sequence[Merchant], published: Path, operator_key: str) -> None:
    """Hands the directory to every running node, with the operator's key as it was told by telephone."""
    for merchant in merchants:
        vafa(
            "join", "--directory", str(published), "--operator-key", operator_key,
            "--config", str(merchant.node.config_path), "--address", merchant.node.addresses.serving,
        )  # fmt: skip
