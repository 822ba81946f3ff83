"""Two merchants' nodes for the exchange bench: members of one, with points and an app, at the other's."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.delay import delaying
from bench.load import Target
from bench.report import say
from node.coalition.proofs import NONCE_BYTES, STEP_MS, app_answer
from node.identity.caller import Role
from node.identity.coalition_secrets import CoalitionSecrets
from node.identity.keys import load_secrets
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1 import balance_pb2, money_pb2, purchase_pb2
from simulators import shoppers
from simulators.demo.coalition import founding, outage
from simulators.demo.coalition.merchants import PURSE, TRADERS, Merchant, members_of
from simulators.launch import NodeFailed, NodeUnderTest
from simulators.operations import OperationWriter
from simulators.purchases import card_identifier
from simulators.staff import Staff
from simulators.till import Till

MEMBERS = 300
"""A home node remembers 64 app answers of a member: these can answer 19,200 times in two minutes."""

POINTS = 20_000
"""Of each member at the start; a redemption spends one."""

REDEEM = "/vafa.pos.v1.PosService/Redeem"


@dataclass(slots=True)
class Two:
    """The home node and the acquirer, with what the members' apps know."""

    home: Merchant
    acquirer: Merchant
    operator: founding.Operator
    secrets: list[tuple[str, bytes]]
    """Each member's card, and the secret of its app."""

    def redemptions(self, count: int) -> list[bytes]:
        """RedeemRequests of one point each, none of which was ever sent, by the members in turn. Each carries
        the app's answer of this moment, good for two minutes."""
        writer, step = OperationWriter(), time.time_ns() // 1_000_000 // STEP_MS
        spends = [balance_pb2.Spend(purse=PURSE, units=1)]
        made = []
        for card, secret in itertools.islice(itertools.cycle(self.secrets), count):
            nonce = uuid.uuid4().bytes[:NONCE_BYTES]
            code = app_answer(secret, self.acquirer.merchant_id, 1, nonce, step)
            answer = envelope_pb2.AppAnswer(code=code, nonce=nonce, ceiling_units=1, time_step=step)
            proof = envelope_pb2.MemberProof(app_answer=answer)
            request = writer.redemption(card_identifier(card), spends, proof=proof).redeem
            made.append(request.SerializeToString())
        return made

    def till(self) -> Target:
        """The acquirer's till."""
        certificate = self.acquirer.node.issue(Role.TILL, "till-1", store="store-1")
        return Target("redeem", self.acquirer.node.addresses.serving, REDEEM, certificate)

    def messages_sent(self) -> int:
        """Messages that both nodes have sent each other so far, by their own count."""
        return sum(_sent(one.node.addresses.metrics) for one in (self.home, self.acquirer))

    @contextlib.contextmanager
    def apart(self, seconds: float) -> Iterator[None]:
        """For the time of the block each byte between the nodes is `seconds` on its way. They are restarted
        for it, since they find each other at other addresses."""
        with ExitStack() as stack:
            both = (self.home, self.acquirer)
            for one in both:
                endpoint = stack.enter_context(delaying(one.node.addresses.peers, seconds))
                self.operator.admit(one.merchant_id, founding.ask_to_join(one, endpoint))
            founding.take_into_use(both, self.operator.publish(), self.operator.key)
            for one in both:
                one.node.stop()
            for one in both:
                one.node.start()
            asyncio.run(_linked(both))
            yield


@contextlib.contextmanager
def running_two(directory: Path, members: int = MEMBERS) -> Iterator[Two]:
    """Both nodes serve, know each other, and the members have points."""
    operator = founding.Operator(directory / "operator")
    started: list[NodeUnderTest] = []
    try:
        say("Starting two nodes …")
        operator.init()
        merchants = []
        for number, trader in enumerate(TRADERS[:2]):
            node, phones = founding.launch(directory / trader.merchant_id, trader)
            started.append(node)
            merchants.append(Merchant(trader, node, members_of(number, members, 1), phones))
            operator.admit(trader.merchant_id, founding.ask_to_join(merchants[-1]))
        founding.take_into_use(merchants, operator.publish(), operator.key)
        home, acquirer = merchants
        say(f"Enrolling {members:,} members and giving them points …")
        yield Two(home, acquirer, operator, asyncio.run(_open(home, acquirer)))
    finally:
        for node in started:
            with contextlib.suppress(NodeFailed):
                node.stop()


async def _open(home: Merchant, acquirer: Merchant) -> list[tuple[str, bytes]]:
    await _linked((home, acquirer))
    keys = CoalitionSecrets(load_secrets(home.node.installation / "data" / "secrets").master_key)
    known = []
    async with AsyncExitStack() as stack:
        staff = await stack.enter_async_context(_staff(home))
        certificate = home.node.issue(Role.TILL, "till-0", store="store-1")
        till = await stack.enter_async_context(Till(home.node.addresses.serving, certificate))
        for number, member in enumerate(home.members):
            account_id = await staff.enrol(member)
            known.append((member.card, keys.app(bytes.fromhex(account_id))))
            total = money_pb2.Money(currency=shoppers.CURRENCY, minor=POINTS * 100)
            purchase = purchase_pb2.Purchase(receipt_number=f"opening-{number}", total=total)
            await till.accrue(card_identifier(member.card), purchase)
    return known


async def _linked(both: tuple[Merchant, Merchant]) -> None:
    async with AsyncExitStack() as stack:
        staffs = {one.merchant_id: await stack.enter_async_context(_staff(one)) for one in both}
        await outage.until_linked(staffs, list(staffs))


def _staff(merchant: Merchant) -> Staff:
    return Staff(merchant.node.addresses.serving, merchant.node.issue(Role.ADMIN, "bench"))


def _sent(metrics_address: str) -> int:
    with urllib.request.urlopen(f"http://{metrics_address}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    mine = [
        line for line in lines if line.startswith("vafa_peer_messages_total") and 'direction="sent"' in line
    ]
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in mine)
