"""`vafa settlement` on files: what a merchant's finance, its bank and an auditor do with a published
statement.
"""

import json
from pathlib import Path

import pytest

from node.settlement.documents import DisputedLane, MismatchClass, Payment
from node.settlement.equivocation import Equivocation
from node.settlement.statement import WindowInput
from node.wire.coalition_directory import DIRECTORY_LABEL, armoured
from node.wire.settlement import equivocation_bytes
from node.wire.settlement_lines import read_signed_statement
from node.wire.settlement_signing import sign_head
from tests.cli.cli_shop import Ran, run_vafa
from tests.settlement.settlement_world import World, busy_world
from tests.settlement.test_payment_files import _camt, _entry


class Desk:
    """A folder with a statement and its directory."""

    def __init__(self, folder: Path) -> None:
        self.world: World = busy_world()
        self.folder = folder
        data = self.world.settle(1, WindowInput(self.world.all_closes(1)))
        self.statement = read_signed_statement(data)
        self.file, self.directory = folder / "one.statement", folder / "coalition.directory"
        self.file.write_bytes(data)
        text = armoured(DIRECTORY_LABEL, self.world.coalition.signed.data)
        self.directory.write_text(text, encoding="utf-8")

    def run(self, command: str, *more: object, directory: bool = True) -> Ran:
        known = ("--directory", self.directory) if directory else ()
        return run_vafa("settlement", command, self.file, *known, *more)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_statement_is_shown_as_tables_that_sum_to_zero(desk: Desk) -> None:
    ran = desk.run("show")
    assert ran.status == 0
    assert "Merchant m000" in ran.out
    shown = json.loads(desk.run("show", "--json").out)
    assert shown["nets_sum"] == "0"
    assert len(shown["nets"]) == 4


def test_what_was_held_back_is_told_in_words(desk: Desk) -> None:
    world = busy_world()
    pair = ("m000", "m002")
    held = (DisputedLane(0, 2, 5, 2, MismatchClass.MISSING_AT_ACQUIRER),)
    close = world.signed(world.close(pair, 1, until={0: 2}, disputed=held))
    others = tuple(one for one in world.all_closes(1) if one.close.pair != pair)
    desk.file.write_bytes(world.settle(1, WindowInput((*others, close))))
    shown = desk.run("show").out
    assert "HELD BACK. Members of Merchant m000 at Merchant m002, window 1, lane 0." in shown
    assert "all records up to number 2" in shown
    assert "To do:" in shown


def test_a_sound_statement_verifies_and_a_changed_one_does_not(desk: Desk) -> None:
    ran = desk.run("verify")
    assert (ran.status, "WRONG" in ran.out) == (0, False)
    rows = json.loads(desk.run("verify", "--json").out)
    assert all(row["agrees"] for row in rows)
    desk.world.starts.clear()
    closes = desk.world.all_closes(1)
    desk.file.write_bytes(desk.world.settle(1, WindowInput(closes[1:])))
    ran = desk.run("verify")
    assert (ran.status, "WRONG every pair" in ran.out) == (1, True)
    desk.file.write_bytes(b"no statement")
    ran = desk.run("verify")
    assert (ran.status, "no statement" in ran.err) == (1, True)


@pytest.mark.parametrize("kind", ["csv", "pain.001"])
def test_files_for_finance_and_the_bank_are_written(desk: Desk, kind: str) -> None:
    payer = next(line.debtor_id for line in desk.statement.lines if isinstance(line, Payment))
    out = desk.folder / "out"
    assert desk.run("export", "--format", kind, "--as", payer, "--out", out).status == 0
    assert out.stat().st_size > 100


def test_what_cannot_be_exported_is_said_in_words(desk: Desk) -> None:
    out = desk.folder / "out"
    ran = desk.run("export", "--format", "pain.001", "--out", out)
    assert (ran.status, "--as PARTNER" in ran.err) == (1, True)
    ran = desk.run("export", "--format", "pain.001", "--as", "nobody", "--out", out)
    assert (ran.status, "pays nothing" in ran.err) == (1, True)
    assert not out.exists()


def test_what_the_bank_booked_is_marked_and_the_rest_is_called_for(desk: Desk) -> None:
    payments = [line for line in desk.statement.lines if isinstance(line, Payment)]
    payer = payments[0].debtor_id
    own = [one for one in payments if payer in (one.debtor_id, one.creditor_id)]
    camt = desk.folder / "camt.xml"
    camt.write_bytes(_camt(*(_entry(one.reference, str(one.amount)) for one in own)))
    ran = desk.run("paid", "--as", payer, "--camt", camt, directory=False)
    assert (ran.status, ran.out.count("paid ")) == (0, len(own))
    camt.write_bytes(_camt(_entry(own[0].reference, str(own[0].amount - 1))))
    ran = desk.run("paid", "--as", payer, "--camt", camt, directory=False)
    assert ran.status == 1
    assert "NOT PAID" in ran.out
    assert f"it is of {own[0].amount - 1}, not of {own[0].amount}" in ran.out


def test_two_statements_of_one_window_are_proved_to_anybody_with_the_directory(desk: Desk) -> None:
    world = desk.world
    world.starts.clear()
    other = read_signed_statement(
        world.settle(1, WindowInput(world.all_closes(1), carried={("m000", "m001"): 1}))
    )
    proof = desk.folder / "window-1.two-statements"
    known = ("--directory", desk.directory)
    proof.write_bytes(equivocation_bytes(Equivocation(desk.statement.head, other.head)))
    ran = run_vafa("settlement", "check-two-statements", proof, *known)
    assert (ran.status, "PROVED: the operator signed two statements of window 1" in ran.out) == (0, True)
    proof.write_bytes(equivocation_bytes(Equivocation(desk.statement.head, desk.statement.head)))
    ran = run_vafa("settlement", "check-two-statements", proof, *known)
    assert (ran.status, "not two heads of one window" in ran.out) == (1, True)
    forged = sign_head(other.head.head, world.coalition.signers["m001"])
    proof.write_bytes(equivocation_bytes(Equivocation(desk.statement.head, forged)))
    ran = run_vafa("settlement", "check-two-statements", proof, *known)
    assert (ran.status, "has not signed both" in ran.out) == (1, True)


def test_a_directory_that_is_not_the_operators_is_refused(desk: Desk) -> None:
    desk.directory.write_text("-----BEGIN VAFA DIRECTORY-----\nAAAA\n-----END VAFA DIRECTORY-----\n")
    ran = desk.run("verify")
    assert ran.status == 1
    assert str(desk.directory) in ran.err
