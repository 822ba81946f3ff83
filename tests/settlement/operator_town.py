"""An operator's process with its merchants, over real connections."""

import asyncio
import time
from pathlib import Path

from msgspec.structs import replace
from typer.testing import CliRunner

from bench.settlement_records import Coalition, make_coalition
from node.cli.operator import app
from node.cli.operator_home import OperatorHome
from node.cli.operator_service import OperatorProcess, authority_of
from node.coalition.directory import Cap, Fee, OperatorNode, PaymentAccount, Window
from node.identity.ca import Authority, new_authority
from node.identity.peers import PeerIdentity, new_peer_identity
from node.peering.operator_client import OperatorClient
from node.settlement.documents import Payment
from node.settlement.windows import pairs_of
from node.wire.coalition_directory import DIRECTORY_LABEL, armoured, sign_directory
from node.wire.settlement_lines import read_signed_statement
from tests.settlement.settlement_world import World

NOW = time.time_ns() // 1_000_000


HOUR = 3_600_000


class Town:
    """An operator's directory with a running service, and merchants with authorities of their own."""

    def __init__(
        self, folder: Path, *, prepaid: int = 0, agent: bool = False, fees: tuple[Fee, ...] = ()
    ) -> None:
        self.home = OperatorHome(folder / "operator")
        self.home.make("")
        made = make_coalition(3, prepaid=prepaid)
        self.authorities: dict[str, Authority] = {one: new_authority(one, now_ms=NOW) for one in made.signers}
        partners = tuple(
            replace(one, authority_pem=self.authorities[one.partner_id].certificate_pem)
            for one in made.directory.partners
        )
        # The window 1 of the made records, cut an hour ago; window 2 is open.
        windows = (Window(1, NOW - 9 * HOUR, NOW - HOUR), Window(2, NOW - HOUR, NOW + 9 * HOUR))
        account = PaymentAccount("Agent", other_id="AGENT-1") if agent else None
        known = made.directory.settlement_terms[0]
        terms = (replace(known, close_grace_seconds=60, agent_account=account, fees=fees),)
        service = authority_of(self.home, make=True)
        assert service is not None
        self.directory = replace(
            made.directory,
            partners=partners,
            windows=windows,
            settlement_terms=terms,
            operator=OperatorNode(("127.0.0.1:1",), service.certificate_pem),
            caps=tuple(Cap(one, other, 1_000) for one, other in pairs_of(made.directory, 1)),
        )
        signed = sign_directory(self.directory, self.home.signer())
        text = armoured(DIRECTORY_LABEL, signed.data)
        (self.home.directory / "published" / "000001.directory").write_text(text, encoding="utf-8")
        self.signed = signed
        self.world = World(coalition=Coalition(made.signers, made.operator, self.directory, signed))
        for number, pair in enumerate(pairs_of(self.directory, 1)):
            self.world.trade(*pair, number % 3, 1, 2 + number)
        self.clients: list[OperatorClient] = []
        self.process: OperatorProcess | None = None
        self.address = ""

    async def start(self) -> None:
        self.process = OperatorProcess(self.home)
        self.address = await self.process.start("127.0.0.1:0")

    async def stop(self) -> None:
        assert self.process is not None
        await self.process.stop()

    def client(self, who: str, authority: Authority | None = None) -> OperatorClient:
        identity: PeerIdentity = new_peer_identity(authority or self.authorities[who], who, now_ms=NOW)
        node = self.directory.operator
        assert node is not None
        at = replace(self.directory, operator=replace(node, endpoints=(self.address,)))
        made = OperatorClient(at, identity)
        self.clients.append(made)
        return made


async def all_submit(town: Town) -> None:
    for signed in town.world.all_closes(1):
        assert await town.client(signed.close.home_id).submit(signed)


async def operator_says(town: Town, *arguments: str) -> str:
    """A command of the operator's, beside the running service."""

    def run() -> str:
        result = CliRunner().invoke(app, [*arguments, "--dir", str(town.home.directory)])
        assert result.exit_code == 0, result.output + str(result.exception)
        return result.output

    return await asyncio.to_thread(run)


async def settled_payments(town: Town) -> list[Payment]:
    await all_submit(town)
    await operator_says(town, "window", "close", "1")
    out = town.home.directory / "one"
    await operator_says(town, "settle", "1", "--out", str(out))
    return [line for line in read_signed_statement(out.read_bytes()).lines if isinstance(line, Payment)]
