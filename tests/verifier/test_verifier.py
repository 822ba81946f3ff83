"""The verifier: it agrees with the node to the byte, and finds whatever was changed, by whomever."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.settlement_records import BenchSigner, make_coalition, window_start
from node.coalition.directory import Fee, FeeSide, PaymentAccount, SettlementTerms
from node.proto.vafa.settlement.v1 import close_pb2, statement_pb2
from node.settlement.documents import CloseBasis, Correction, MissingClose, MissingReason, SignedClose
from node.settlement.statement import WindowInput, carried_from
from node.settlement.windows import pairs_of
from node.wire.settlement_lines import (
    head_of,
    line_bytes,
    read_signed_statement,
    signed_statement_bytes,
    statement_bytes,
)
from node.wire.settlement_publish import head_hash
from node.wire.settlement_signing import sign_head
from tests.settlement.settlement_world import World, busy_world
from verifier.__main__ import UNREADABLE, main
from verifier.signatures import load_directory
from verifier.statement import Report, verify

TERMS = SettlementTerms(
    1,
    "IRR",
    2,
    fees=(Fee("commission", volume_ppm=12_345, side=FeeSide.ACQUIRER), Fee("seat", window_micro=1_000_001)),
    close_grace_seconds=86_400,
)


def _verify(world: World, data: bytes, previous: bytes = b"") -> Report:
    directory, raw, keys = load_directory(world.coalition.signed.data, world.coalition.operator.public_uri)
    return verify(data, directory, raw, keys, previous)


def _wrong(report: Report) -> list[str]:
    return [what for good, what in report.checks if not good]


def _resigned(world: World, data: bytes, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """The statement with other lines, signed by the operator all the same."""
    read = read_signed_statement(data)
    lines = change(list(read.line_bytes))
    body = statement_bytes(read.facts, lines)
    return signed_statement_bytes(body, sign_head(head_of(read.facts, body, lines), world.coalition.operator))


def test_what_the_node_publishes_the_verifier_finds_sound() -> None:
    world = busy_world()
    report = _verify(world, world.settle(1, WindowInput(world.all_closes(1))))
    assert _wrong(report) == []
    assert report.sound
    assert any(report.nets.values())
    assert sum(report.nets.values()) == 0


@pytest.mark.parametrize("seed", range(6))
def test_two_computations_agree_to_the_byte_over_weeks_whatever_the_terms(seed: int) -> None:
    chance = random.Random(seed)
    terms = SettlementTerms(
        1,
        "IRR",
        chance.choice([0, 2, 6]),
        fees=TERMS.fees if chance.random() < 0.7 else (),
        agent_account=PaymentAccount("Agent", other_id="1") if chance.random() < 0.5 else None,
    )
    world = World(coalition=make_coalition(chance.randrange(2, 6), terms=terms, prepaid=chance.randrange(3)))
    previous, head = b"", b""
    carried: dict[tuple[str, str], int] = {}
    topped = {f"m{number:03}": (0, 10**6) for number in range(2)}
    for window in (1, 2, 3):
        pairs = pairs_of(world.coalition.directory, window)
        for pair in pairs:
            for lane in chance.sample(range(16), chance.randrange(3)):
                world.trade(*pair, lane, window, chance.randrange(1, 6))
        left_out = chance.sample(pairs, chance.randrange(2))
        given = WindowInput(
            tuple(one for one in world.all_closes(window) if one.close.pair not in left_out),
            missing=tuple(MissingClose(*pair, MissingReason.NOBODY_SENT) for pair in left_out),
            corrections=(Correction(1, "m001", "m000", 1_234_567, "agreed"),) if window == 3 else (),
            carried=carried,
            prepaid=topped,
        )
        data = world.settle(window, given, previous_head_hash=head)
        report = _verify(world, data, previous)
        assert _wrong(report) == [], (seed, window)
        read = read_signed_statement(data)
        previous, head = data, head_hash(read)
        partners = list(world.coalition.signers)
        carried = carried_from(read.lines, same_currency=True, partners=partners)
        topped = {
            line.prepaid.partner_id: (_amount(line.prepaid.closing), 77) for line in _prepaid(read.line_bytes)
        }


def _amount(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _prepaid(lines: tuple[bytes, ...]) -> list[statement_pb2.StatementLine]:
    read = [statement_pb2.StatementLine.FromString(line) for line in lines]
    return [line for line in read if line.HasField("prepaid")]


def test_every_changed_byte_of_the_file_is_found() -> None:
    world = busy_world()
    data = world.settle(1, WindowInput(world.all_closes(1)))
    chance = random.Random(1)
    ends = [*range(60), *range(len(data) - 260, len(data))]
    for at in [*ends, *chance.sample(range(60, len(data) - 260), 100)]:
        changed = bytearray(data)
        changed[at] ^= 1 << chance.randrange(8)
        try:
            sound = _verify(world, bytes(changed)).sound
        except UNREADABLE:
            sound = False
        assert not sound, at


@pytest.mark.parametrize("kind", ["obligation", "net", "payment", "close"])
def test_an_operator_that_signs_other_amounts_or_leaves_a_line_out_is_found(kind: str) -> None:
    world = busy_world()
    data = world.settle(1, WindowInput(world.all_closes(1)))

    def without(lines: list[bytes]) -> list[bytes]:
        at = next(
            at
            for at, line in enumerate(lines)
            if statement_pb2.StatementLine.FromString(line).WhichOneof("line") == kind
        )
        return lines[:at] + lines[at + 1 :]

    assert not _verify(world, _resigned(world, data, without)).sound


def test_an_operator_that_moves_a_net_is_found() -> None:
    world = busy_world()
    data = world.settle(1, WindowInput(world.all_closes(1)))

    def moved(lines: list[bytes]) -> list[bytes]:
        changed = []
        for data in lines:
            line = statement_pb2.StatementLine.FromString(data)
            if line.HasField("net"):
                by = {"m000": 5, "m001": -5}.get(line.net.party_id, 0)
                line.net.payable = (_amount(line.net.payable) + by).to_bytes(16, "big", signed=True)
            changed.append(line.SerializeToString())
        return changed

    assert _wrong(_verify(world, _resigned(world, data, moved))) == [
        "its 9 fees, debts, nets and payments are what the closes give"
    ]


def test_a_close_that_one_side_did_not_sign_is_found() -> None:
    world = busy_world()
    closes = list(world.all_closes(1))
    signed = closes[0]
    forged = BenchSigner("somebody else").sign("application/vnd.vafa.pair-close.v1", signed.close_bytes)
    bad = close_pb2.Signature(
        signer_id=signed.close.acquirer_id,
        public_key=world.coalition.signers[signed.close.acquirer_id].public_bytes,
        signature=forged,
    )
    data = world.settle(1, WindowInput(tuple(closes)))

    def changed(lines: list[bytes]) -> list[bytes]:
        line = statement_pb2.StatementLine.FromString(lines[0])
        line.close.signatures[1].CopyFrom(bad)
        return [line.SerializeToString(), *lines[1:]]

    report = _verify(world, _resigned(world, data, changed))
    assert _wrong(report) == [f"the close of {' with '.join(signed.close.pair)} is sound and signed"]


def _with_close(world: World, signed: SignedClose) -> Report:
    """The report on a statement in which this close stands for the pair's own."""
    others = tuple(one for one in world.all_closes(1) if one.close.pair != signed.close.pair)
    return _verify(world, world.settle(1, WindowInput((*others, signed))))


def test_a_close_of_another_window_or_with_a_made_up_root_is_found() -> None:
    world = busy_world()
    pair = ("m000", "m002")
    assert _with_close(world, world.signed(world.close(pair, 1))).sound
    for wrong in (
        replace(world.close(pair, 1), record_root=bytes(32)),
        replace(world.close(pair, 1), window=2),
        replace(world.close(pair, 1), coalition_id="another"),
    ):
        world.starts.clear()
        report = _with_close(world, world.signed(wrong))
        assert _wrong(report) == [f"the close of {' with '.join(pair)} is sound and signed"]


def test_a_key_that_was_not_valid_yet_signs_nothing() -> None:
    world = busy_world()
    data = world.settle(1, WindowInput(world.all_closes(1)))
    directory, raw, keys = load_directory(world.coalition.signed.data)
    for partner in directory.partners:
        partner.keys[0].not_before.FromMilliseconds(window_start(4))
    report = verify(data, directory, raw, keys)
    assert sum("is sound and signed" in what for what in _wrong(report)) == 6


@pytest.mark.parametrize("basis", [CloseBasis.HOME_ALONE, CloseBasis.ACQUIRER_ALONE])
def test_a_silent_sides_close_needs_what_it_had_signed_before(basis: CloseBasis) -> None:
    world = World(2)
    world.trade("m000", "m001", 3, 1, 5)
    other = world.signed(world.close(("m001", "m000"), 1))
    alone = world.signed(world.close(("m000", "m001"), 1, basis=basis))
    proven = SignedClose(alone.close, alone.close_bytes, alone.signatures, world.evidence(alone.close, 1))
    assert _verify(world, world.settle(1, WindowInput((proven, other)))).sound
    world.starts.clear()
    bare = world.settle(1, WindowInput((alone, other)))
    assert _wrong(_verify(world, bare)) == ["the close of m000 with m001 is sound and signed"]


def test_what_is_carried_over_is_compared_with_the_statement_before() -> None:
    world = busy_world()
    first = world.settle(1, WindowInput(world.all_closes(1)))
    read = read_signed_statement(first)
    carried = carried_from(read.lines, same_currency=True, partners=world.coalition.ids)
    assert carried
    given = WindowInput(world.all_closes(2), carried=carried)
    honest = world.settle(2, given, previous_head_hash=head_hash(read))
    assert _verify(world, honest, first).sound
    forgets = world.settle(2, WindowInput(given.closes), previous_head_hash=head_hash(read))
    assert _wrong(_verify(world, forgets, first)) == ["what rounding had left over is carried on"]
    unnamed = world.settle(2, given)
    assert _wrong(_verify(world, unnamed, first)) == ["it follows the statement before, and names it"]


def test_records_settled_twice_are_found() -> None:
    world = busy_world()
    first = world.settle(1, WindowInput(world.all_closes(1)))
    world.starts.clear()  # the second statement begins every lane anew
    again = world.settle(
        2, WindowInput(world.all_closes(2)), previous_head_hash=head_hash(read_signed_statement(first))
    )
    assert "every lane goes on with the record after the last that was settled" in _wrong(
        _verify(world, again, first)
    )


def test_the_command_speaks_to_an_auditor_and_answers_by_its_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = busy_world()
    data = world.settle(1, WindowInput(world.all_closes(1)))
    file, directory = tmp_path / "statement", tmp_path / "directory"
    file.write_bytes(data)
    directory.write_bytes(world.coalition.signed.data)
    arguments = [str(file), "--directory", str(directory)]
    assert main(arguments) == 0
    assert capsys.readouterr().out.rstrip().endswith("SOUND")
    assert main([*arguments, "--json", "--operator-key", world.coalition.operator.public_uri]) == 0
    assert json.loads(capsys.readouterr().out)["sound"] is True
    assert main([*arguments, "--operator-key", "ed25519:" + "00" * 32]) == 2
    file.write_bytes(_resigned(world, data, lambda lines: lines[1:]))
    assert main(arguments) == 1
    assert "NOT SOUND" in capsys.readouterr().out
    file.write_bytes(b"no statement")
    assert main(arguments) == 2
    directory.write_bytes(world.coalition.signed.data[:-1] + b"x")
    assert main(arguments) == 2


def test_a_line_is_the_same_bytes_after_reading_it_again() -> None:
    world = busy_world()
    read = read_signed_statement(world.settle(1, WindowInput(world.all_closes(1))))
    assert tuple(line_bytes(line) for line in read.lines) == read.line_bytes
