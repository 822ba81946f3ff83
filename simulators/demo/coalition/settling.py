"""The end of the demo: the window is cut while members still shop, closed by every pair, netted, verified."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from node.cli.operator_home import OperatorHome
from node.cli.operator_service import authority_of
from node.coalition.directory import Key, OperatorNode, SettlementTerms, Window
from node.wire.coalition_directory import sign_directory
from node.wire.coalition_terms import next_directory
from simulators import shoppers
from simulators.demo.coalition.founding import vafa
from simulators.demo.coalition.merchants import Merchant
from simulators.demo.screen import Screen
from simulators.launch import NodeFailed, run_vafa

WINDOW = 1
CLOSE_SECONDS = 150.0
"""Nodes look for a cut every half minute, and a pair needs a look of both."""

_GRACE_SECONDS = 3_600
_DAY_MS = 86_400_000
_POLL_SECONDS = 1.0
_STOP_SECONDS = 20.0


@dataclass(slots=True)
class Settlement:
    """What came of the window. `verified` by the independent verifier; `agreed` are the merchants whose own
    records give the same; `change_found` says that the verifier refused a copy with one changed byte;
    `problem` is what kept the window from being settled."""

    table: str = ""
    nets: dict[str, int] = field(default_factory=dict)
    closes: int = 0
    verified: bool = False
    verdict: str = ""
    agreed: list[str] = field(default_factory=list)
    change_found: bool = False
    problem: str = ""

    @property
    def nets_sum(self) -> int:
        """0, or the statement is wrong."""
        return sum(self.nets.values())


class OperatorService:
    """The operator's own process, `vafa operator run`, and a calendar whose first window is cut soon."""

    def __init__(self, home: OperatorHome, cut_after_seconds: float) -> None:
        self.home = home
        now_ms = time.time_ns() // 1_000_000
        self.cut_ms = now_ms + int(cut_after_seconds * 1000)
        self._windows = (
            Window(WINDOW, now_ms - _DAY_MS, self.cut_ms),
            Window(WINDOW + 1, self.cut_ms, self.cut_ms + 30 * _DAY_MS),
        )
        self._process: subprocess.Popen[bytes] | None = None

    def publish(self) -> Path:
        """Publishes, starts the service, and publishes where that is: a real calendar's windows are days."""
        self._publish(OperatorNode())
        log = self.home.directory / "service.log"
        with log.open("wb") as out:
            command = [sys.executable, "-m", "node.cli.main", "operator", "run", "--listen", "127.0.0.1:0"]
            self._process = subprocess.Popen(  # noqa: S603 - the operator's own command
                [*command, "--dir", str(self.home.directory)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        address = self.home.directory / "service.address"
        give_up_at = time.monotonic() + 120.0
        while not address.exists():
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                raise NodeFailed(f"The operator's service did not start:\n{log.read_text(encoding='utf-8')}")
            time.sleep(0.05)
        authority = authority_of(self.home)
        assert authority is not None, "the service has made it"
        endpoint = address.read_text(encoding="utf-8").strip()
        return self._publish(OperatorNode((endpoint,), authority.certificate_pem))

    def stop(self) -> None:
        """Ends the service in good order; a second time nothing is left to do."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _publish(self, service: OperatorNode) -> Path:
        home, before = self.home, self.home.published()
        signer = home.signer()
        made = next_directory(
            home.terms(),
            home.requests(),
            before.directory if before else None,
            (Key(signer.public_uri, 0),),
            time.time_ns() // 1_000_000,
        )
        terms = SettlementTerms(
            WINDOW, shoppers.CURRENCY, shoppers.CURRENCY_EXPONENT, close_grace_seconds=_GRACE_SECONDS
        )
        made = replace(made, windows=self._windows, settlement_terms=(terms,), operator=service)
        return home.publish(sign_directory(made, signer))


def settle(
    service: OperatorService, merchants: Sequence[Merchant], directory: Path, screen: Screen
) -> Settlement:
    """Waits for the cut and the closes, settles, and has everybody check the statement. Nodes must run."""
    found, home = Settlement(), service.home
    left = max(0.0, service.cut_ms / 1000 - time.time())
    with screen.step(f"waiting for the window's cut, {left:.0f} s from now"):
        time.sleep(left)
    pairs = len(merchants) * (len(merchants) - 1)
    with screen.step("every pair signs its close", pairs) as advance:
        give_up_at = time.monotonic() + CLOSE_SECONDS
        while found.closes < pairs and time.monotonic() < give_up_at:
            time.sleep(_POLL_SECONDS)
            listed = json.loads(vafa("operator", "window", "list", "--json", "--dir", str(home.directory)))
            closes = next((one["closes"] for one in listed if one["number"] == WINDOW), 0)
            advance(closes - found.closes)
            found.closes = closes
    if found.closes < pairs:
        found.problem = f"only {found.closes} of {pairs} pairs have closed the window"
        return found
    statement = directory / f"window-{WINDOW}.statement"
    known = ("--directory", str(home.directory / f"{_coalition(home)}.directory"))
    with screen.step("the operator closes the window and publishes the statement"):
        vafa("operator", "window", "close", str(WINDOW), "--dir", str(home.directory))
        vafa("operator", "settle", str(WINDOW), "--out", str(statement), "--dir", str(home.directory))
        found.table = vafa("settlement", "show", str(statement), *known)
        shown = json.loads(vafa("settlement", "show", str(statement), *known, "--json"))
        found.nets = {party: int(amount) for party, amount in shown["nets"].items()}
    with screen.step("merchants and an independent verifier check it", len(merchants) + 1) as advance:
        for merchant in merchants:
            config = ("--config", str(merchant.node.config_path))
            if run_vafa("settlement", "verify", str(statement), *known, "--own", *config).returncode == 0:
                found.agreed.append(merchant.merchant_id)
            advance(1)
        found.verified, found.verdict = verified(statement, *known)
        advance(1)
    with screen.step("the same verifier is shown a copy with one changed byte"):
        copy = directory / "changed.statement"
        data = bytearray(statement.read_bytes())
        data[len(data) // 2] ^= 1
        copy.write_bytes(data)
        found.change_found = not verified(copy, *known)[0]
    return found


def verified(statement: Path, *known: str) -> tuple[bool, str]:
    """What the independent verifier, which shares no code with the node, says of a statement's file."""
    command = [sys.executable, "-m", "verifier", str(statement), *known]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the verifier
    said = (checked.stdout + checked.stderr).strip().splitlines()
    return checked.returncode == 0, said[-1] if said else "nothing"


def _coalition(home: OperatorHome) -> str:
    return home.terms().coalition.id
