"""The end of the demo: windows are cut while members still shop, closed by every pair, netted, verified; in
the second one records differ.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from node.cli.operator_home import OperatorHome
from node.cli.operator_service import authority_of
from node.cli.settlement_text import statement_rows
from node.coalition.directory import Key, OperatorNode, SettlementTerms, Window
from node.wire.coalition_directory import sign_directory
from node.wire.coalition_terms import next_directory
from node.wire.settlement_lines import read_signed_statement
from simulators import shoppers
from simulators.demo.coalition.commands import try_vafa, vafa
from simulators.demo.coalition.merchants import Merchant
from simulators.demo.coalition.mismatch import (
    Mismatch,
    is_settled,
    lose_a_record,
    report_of,
    until_signed,
)
from simulators.demo.screen import Screen
from simulators.launch import NodeFailed

WINDOW = 1
LOSS_WINDOW, MENDED_WINDOW = 2, 3
CLOSE_SECONDS = 150.0
"""Within this time after a cut all pairs have closed the window, on slow machines too."""

_GRACE_SECONDS = 3_600
_SHORT_GRACE_SECONDS = 6
"""In the later windows: how long one side waits for a record that the other may still be sent."""
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
    mismatch: Mismatch = field(default_factory=Mismatch)
    later_sums: list[int] = field(default_factory=list)
    """What the nets of the later windows sum to."""
    service_restarts: int = 0
    """How often the operator's service had ended by itself, and was started again."""

    @property
    def nets_sum(self) -> int:
        """0, or a statement is wrong."""
        return sum(self.nets.values()) + sum(map(abs, self.later_sums))


class OperatorService:
    """The operator's own process, `vafa operator run`, and a calendar whose first windows are cut soon: each
    so many seconds after the one before it.
    """

    def __init__(self, home: OperatorHome, *cut_after_seconds: float) -> None:
        self.home = home
        opens_ms = time.time_ns() // 1_000_000
        windows, opened_ms = [], opens_ms - _DAY_MS
        for number, seconds in enumerate((*cut_after_seconds, 30 * 86_400.0), WINDOW):
            opens_ms += int(seconds * 1000)
            windows.append(Window(number, opened_ms, opens_ms))
            opened_ms = opens_ms
        self._windows = tuple(windows)
        self._process: subprocess.Popen[bytes] | None = None
        self._endpoint = ""
        self.restarts = 0
        """How often its process had ended by itself."""

    def seconds_until_cut(self, window: int) -> float:
        """How long a window still takes postings; 0 once it is cut."""
        cut_ms = next(one.cut_time_ms for one in self._windows if one.number == window)
        return max(0.0, cut_ms / 1000 - time.time())

    def publish(self) -> Path:
        """Publishes, starts the service, and publishes where that is: a real calendar's windows are days."""
        self._publish(OperatorNode())
        self._endpoint = self._start("127.0.0.1:0")
        authority = authority_of(self.home)
        assert authority is not None, "the service has made it"
        return self._publish(OperatorNode((self._endpoint,), authority.certificate_pem))

    def keep_running(self, screen: Screen) -> None:
        """Starts the service anew at the same address if its process has ended, as a service unit would."""
        assert self._process is not None, "it was published"
        status = self._process.poll()
        if status is not None:
            self.restarts += 1
            screen.say(f"  THE OPERATOR'S SERVICE HAD ENDED (status {status}); it is started again.")
            self._start(self._endpoint)

    def _start(self, listen: str) -> str:
        """Starts the process and waits until it serves; gives the address."""
        address = self.home.directory / "service.address"
        address.unlink(missing_ok=True)
        log = self.home.directory / "service.log"
        with log.open("ab") as out:
            command = [sys.executable, "-m", "node.cli.main", "operator", "run", "--listen", listen]
            self._process = subprocess.Popen(  # noqa: S603 - the operator's own command
                [*command, "--dir", str(self.home.directory)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        give_up_at = time.monotonic() + 120.0
        while not address.exists():
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                raise NodeFailed(f"The operator's service did not start:\n{log.read_text(encoding='utf-8')}")
            time.sleep(0.05)
        return address.read_text(encoding="utf-8").strip()

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
        terms = tuple(
            SettlementTerms(
                window, shoppers.CURRENCY, shoppers.CURRENCY_EXPONENT, close_grace_seconds=grace_seconds
            )
            for window, grace_seconds in ((WINDOW, _GRACE_SECONDS), (LOSS_WINDOW, _SHORT_GRACE_SECONDS))
        )
        made = replace(made, windows=self._windows, settlement_terms=terms, operator=service)
        return home.publish(sign_directory(made, signer))


def settle(
    service: OperatorService, merchants: Sequence[Merchant], directory: Path, screen: Screen
) -> Settlement:
    """Waits for the cuts and the closes, settles, and has everybody check the statements. Nodes must run."""
    found, home = Settlement(), service.home
    pairs = len(merchants) * (len(merchants) - 1)
    if not _all_closed(service, WINDOW, pairs, screen, found):
        return found
    member_home, acquirer = merchants[0], merchants[-1]
    with screen.step(f"the disk of {acquirer.merchant_id} loses one record; its node stops and starts"):
        acquirer.node.stop()
        found.mismatch = lose_a_record(member_home, acquirer, LOSS_WINDOW)
        acquirer.node.start()
    statement = directory / f"window-{WINDOW}.statement"
    known = ("--directory", str(home.directory / f"{_coalition(home)}.directory"))
    with screen.step("the operator closes the window and publishes the statement"):
        service.keep_running(screen)
        shown = _published(home, WINDOW, statement)
        found.table = vafa("settlement", "show", str(statement), *known)
        found.nets = {party: int(amount) for party, amount in shown["nets"].items()}
    with screen.step("merchants and an independent verifier check it", len(merchants) + 1) as advance:
        for merchant in merchants:
            config = ("--config", str(merchant.node.config_path))
            if try_vafa("settlement", "verify", str(statement), *known, "--own", *config)[0] == 0:
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
    _settle_the_loss(service, merchants, directory, screen, found)
    found.service_restarts = service.restarts
    return found


def _settle_the_loss(
    service: OperatorService,
    merchants: Sequence[Merchant],
    directory: Path,
    screen: Screen,
    found: Settlement,
) -> None:
    """The window with the lost record, and the one after it."""
    lost, home, pairs = found.mismatch, merchants[0], len(merchants) * (len(merchants) - 1)
    known = ("--directory", str(service.home.directory / f"{_coalition(service.home)}.directory"))
    with screen.step(f"waiting for the second cut, {service.seconds_until_cut(LOSS_WINDOW):.0f} s from now"):
        time.sleep(service.seconds_until_cut(LOSS_WINDOW))
    with screen.step("the two sides find the record that differs, and sign what is before it") as advance:
        give_up_at = time.monotonic() + CLOSE_SECONDS
        if not until_signed(lost, home, LOSS_WINDOW, give_up_at, advance):
            found.problem = "the lost record was not found, or not signed by both"
            return
        lost.report = report_of(home, LOSS_WINDOW)
    for window in (LOSS_WINDOW, MENDED_WINDOW):
        if not _all_closed(service, window, pairs, screen, found):
            return
        statement = directory / f"window-{window}.statement"
        previous = ("--previous", str(directory / f"window-{window - 1}.statement"))
        with screen.step(f"window {window} is settled and verified"):
            service.keep_running(screen)
            shown = _published(service.home, window, statement)
            found.later_sums.append(sum(map(int, shown["nets"].values())))
            sound, verdict = verified(statement, *known, *previous)
            found.verified, found.verdict = found.verified and sound, verdict
    lost.settled_next = is_settled(lost, home, MENDED_WINDOW)


def _all_closed(service: OperatorService, window: int, pairs: int, screen: Screen, found: Settlement) -> bool:
    """Waits for a window's cut, and until the operator has a close of every pair."""
    left = service.seconds_until_cut(window)
    if left:
        with screen.step(f"waiting for the cut of window {window}, {left:.0f} s from now"):
            time.sleep(left)
    closed = 0
    with screen.step(f"every pair signs its close of window {window}", pairs) as advance:
        give_up_at = time.monotonic() + CLOSE_SECONDS
        while closed < pairs and time.monotonic() < give_up_at:
            time.sleep(_POLL_SECONDS)
            service.keep_running(screen)
            at = ("--dir", str(service.home.directory))
            listed = json.loads(vafa("operator", "window", "list", "--json", *at))
            closes = next((one["closes"] for one in listed if one["number"] == window), 0)
            advance(closes - closed)
            closed = closes
    if window == WINDOW:
        found.closes = closed
    if closed < pairs:
        found.problem = f"only {closed} of {pairs} pairs have closed window {window}"
    return closed >= pairs


def _published(home: OperatorHome, window: int, statement: Path) -> Any:
    """Closes a window and publishes its statement, which is written to a file; the figures in it."""
    at = ("--dir", str(home.directory))
    vafa("operator", "window", "close", str(window), *at)
    vafa("operator", "settle", str(window), "--out", str(statement), *at)
    return statement_rows(read_signed_statement(statement.read_bytes()))


def verified(statement: Path, *known: str) -> tuple[bool, str]:
    """What the independent verifier, which shares no code with the node, says of a statement's file."""
    command = [sys.executable, "-m", "verifier", str(statement), *known]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the verifier
    said = (checked.stdout + checked.stderr).strip().splitlines()
    return checked.returncode == 0, said[-1] if said else "nothing"


def _coalition(home: OperatorHome) -> str:
    return home.terms().coalition.id
