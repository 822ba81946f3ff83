"""Simulated tills for Locust: each with its own certificate and connection, earning, spending, taking back.

`python -m bench load` prepares a node and certificates and runs this file; for a node of your own, write the
manifest yourself and run `locust -f bench/locustfile.py` with VAFA_LOAD_MANIFEST naming it. gRPC's core waits
where gevent cannot see it, so it must be told before the first channel; for the same reason Ray never runs in
this process.
"""

from __future__ import annotations

import itertools
import os
import random
import time
from collections import deque
from pathlib import Path
from typing import Any

import gevent
import grpc
import grpc.experimental.gevent as grpc_gevent
from locust import User, between, task

from bench.load_manifest import MANIFEST_VARIABLE, LoadManifest
from bench.messages import BASKET_LINES, basket, card_number
from bench.till_mix import Deck, Move
from node.proto.vafa.common.v1.balance_pb2 import PURSE_KIND_POINTS, PurseBalance, Spend
from node.proto.vafa.common.v1.identifier_pb2 import IDENTIFIER_KIND_CARD, Identifier
from node.proto.vafa.pos.v1.pos_service_pb2_grpc import PosServiceStub
from node.proto.vafa.pos.v1.undo_pb2 import ReturnedLine
from simulators.operations import OperationWriter

grpc_gevent.init_gevent()
# A channel may hold a thread of gevent's pool while it waits; ten, the default, would starve further tills.
gevent.get_hub().threadpool.maxsize = 2_048

CALL_TIMEOUT_SECONDS = 10.0
REMEMBERED_SALES = 50
"""Sales that a till can take back lines of; older ones are forgotten."""

MOST_SPENT_UNITS = 20


class SimulatedTill(User):
    """One till: eight sales, one redemption and one return in ten, with a fifth of a second between them."""

    wait_time = between(0.1, 0.3)
    _numbers = itertools.count()
    _finished = itertools.count(1)
    _manifest: LoadManifest | None = None

    def on_start(self) -> None:
        """Take the next till's certificate and dial."""
        if SimulatedTill._manifest is None:
            SimulatedTill._manifest = LoadManifest.read(Path(os.environ[MANIFEST_VARIABLE]))
        self.manifest = SimulatedTill._manifest
        # More users than certificates share them, as tills behind one switch would.
        self.number = next(SimulatedTill._numbers) % self.manifest.tills
        credentials = self.manifest.certificate(self.number).channel_credentials()
        options = (("grpc.use_local_subchannel_pool", 1),)  # a connection of its own, as a real till has
        self.channel = grpc.secure_channel(self.manifest.address, credentials, options=options)
        self.pos = PosServiceStub(self.channel)
        self.write = OperationWriter()
        self.chance = random.Random(self.number)
        self.deck = Deck(self.chance)
        self.calls = 0
        self.sales: deque[tuple[Identifier, str]] = deque(maxlen=REMEMBERED_SALES)
        self.spendable: dict[str, PurseBalance] = {}

    def on_stop(self) -> None:
        """Hang up."""
        self.channel.close()

    @task
    def shop(self) -> None:
        """The deck's next move; the last till to have made all its calls ends the run."""
        if self.calls == self.manifest.calls_per_till:
            return  # it stays, for Locust would put another in the place of one that leaves
        possible = {Move.ACCRUE}
        if self.spendable:
            possible.add(Move.REDEEM)
        if self.sales:
            possible.add(Move.TAKE_BACK)
        match self.deck.draw(possible):
            case Move.ACCRUE:
                self.accrue()
            case Move.REDEEM:
                self.redeem()
            case Move.TAKE_BACK:
                self.take_back()
        self.calls += 1
        if (
            self.calls == self.manifest.calls_per_till
            and next(SimulatedTill._finished) == self.environment.parsed_options.num_users
        ):
            # Quitting ends every till, this one too, so it happens outside of it.
            gevent.spawn(self.environment.runner.quit)

    def accrue(self) -> None:
        """A sale to one of this till's members."""
        member = self._member()
        receipt = f"{self.number}-{time.time_ns()}"
        purchase = basket(receipt, self.chance.randint(1, 2 * BASKET_LINES), currency=self.manifest.currency)
        answer = self._call("Accrue", self.write.accrual(member, purchase).accrue)
        if answer is not None:
            self.sales.append((member, answer.transaction_id))
            self._learn(member, answer.balances)

    def redeem(self) -> None:
        """Somebody spends points that this till knows of."""
        card, purse = self.chance.choice(list(self.spendable.items()))
        member = Identifier(kind=IDENTIFIER_KIND_CARD, value=card)
        units = min(purse.spendable, self.chance.randint(1, MOST_SPENT_UNITS))
        spends = [Spend(purse=purse.purse, units=units)]
        answer = self._call("Redeem", self.write.redemption(member, spends).redeem)
        if answer is not None:
            self._learn(member, answer.balances)

    def take_back(self) -> None:
        """The first line of an earlier sale comes back."""
        at = self.chance.randrange(len(self.sales))
        member, transaction_id = self.sales[at]
        del self.sales[at]
        operation = self.write.return_of(member, transaction_id, [ReturnedLine(number=1)])
        answer = self._call("Return", getattr(operation, "return"))
        if answer is not None:
            self._learn(member, answer.balances)

    def _member(self) -> Identifier:
        first = self.number * self.manifest.members_per_till
        member = first + self.chance.randrange(self.manifest.members_per_till)
        return Identifier(kind=IDENTIFIER_KIND_CARD, value=card_number(member))

    def _learn(self, member: Identifier, balances: Any) -> None:
        """Remember what can be spent, from the balances that every answer carries."""
        for balance in balances:
            if balance.kind == PURSE_KIND_POINTS and balance.spendable > 0:
                self.spendable[member.value] = balance
            elif balance.kind == PURSE_KIND_POINTS:
                self.spendable.pop(member.value, None)

    def _call(self, name: str, request: Any) -> Any:
        """The answer, or None where there was none; either way Locust hears of it."""
        began = time.perf_counter()
        answer, failure = None, None
        try:
            answer = getattr(self.pos, name)(request, timeout=CALL_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            failure = RuntimeError(f"{error.code().name}: {error.details()}")
        self.environment.events.request.fire(
            request_type="gRPC",
            name=name,
            response_time=(time.perf_counter() - began) * 1000,
            response_length=0 if answer is None else answer.ByteSize(),
            exception=failure,
            context={},
        )
        return answer
