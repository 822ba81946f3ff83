"""The protos: generated code is theirs, names and numbers last, every change can be repeated safely."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor, FileDescriptor, MethodDescriptor

from node.ledger.refusals import Reason
from node.proto import generate
from node.proto.vafa.common.v1 import refusal_pb2
from node.proto.vafa.pos.v1 import operation_pb2

ROOT = Path(__file__).resolve().parent.parent.parent

CHANGES_BY_REQUEST_ID = {
    "member.v1.MemberService.Adjust",
    "member.v1.MemberService.CloseAccount",
    "member.v1.MemberService.CreatePool",
    "member.v1.MemberService.DecideAdjustment",
    "member.v1.MemberService.Enrol",
    "member.v1.MemberService.ErasePerson",
    "member.v1.MemberService.JoinPool",
    "member.v1.MemberService.LeavePool",
    "member.v1.MemberService.LinkIdentifier",
    "member.v1.MemberService.RecordCard",
    "member.v1.MemberService.SetPin",
    "member.v1.MemberService.ResetPin",
    "member.v1.MemberService.SetBlock",
    "member.v1.MemberService.Transfer",
    "member.v1.MemberService.UnlinkIdentifier",
    "member.v1.MemberService.UpdatePerson",
    "pos.v1.PosService.Accrue",
    "pos.v1.PosService.Authorize",
    "pos.v1.PosService.Capture",
    "pos.v1.PosService.ClaimPurchase",
    "pos.v1.PosService.RecordActivity",
    "pos.v1.PosService.Redeem",
    "pos.v1.PosService.RequestProof",
    "pos.v1.PosService.Return",
    "pos.v1.PosService.Reverse",
    "pos.v1.PosService.Void",
    "programme.v1.ProgrammeService.PublishProgramme",
    "admin.v1.AdminService.ReleaseQuarantined",
    "settlement.v1.SettlementService.AddCorrection",
    "settlement.v1.SettlementService.CloseWindow",
    "settlement.v1.MerchantSettlementService.ReportOwnPayments",
    "settlement.v1.SettlementService.ConfirmPayment",
    "settlement.v1.SettlementService.DeclareDefault",
    "settlement.v1.SettlementService.ReportPayments",
    "settlement.v1.SettlementService.SettleWindow",
    "settlement.v1.SettlementService.TopUp",
}
CHANGES_SAFE_TO_REPEAT = {
    "admin.v1.AdminService.CreateBackup": "the name is taken once",
    "coalition.v1.CoalitionService.AdoptDirectory": "the directory that is in use is taken as it is",
    "coalition.v1.PeerService.Deliver": "a message whose exchange is known is answered as before",
    "coalition.v1.PeerService.Link": "a message whose exchange is known is answered as before",
    "pos.v1.PosService.BeginCardProof": "a conversation that nobody goes on with ends by itself",
    "pos.v1.PosService.ContinueCardProof": "each answer of a card is taken once",
    "pos.v1.PosService.Submit": "each operation in it has a request id",
    "pos.v1.PosService.SubmitStream": "each operation in it has a request id",
    "settlement.v1.SettlementService.ReportMismatch": "what was reported is kept once",
    "settlement.v1.SettlementService.SubmitClose": "a pair has one close in a window",
    "settlement.v1.SettlementService.SubmitCloseAlone": "a pair has one close in a window",
    "terminal.v1.EnrolmentService.RedeemCode": "the code is good once",
    "terminal.v1.TerminalService.CreateEnrolment": "a code that nobody redeems expires",
    "terminal.v1.TerminalService.RenewCertificate": "one certificate more for the same caller",
    "terminal.v1.TerminalService.RevokeCaller": "revoked stays revoked",
}
READS = {
    "admin.v1.AdminService.CheckBooks",
    "admin.v1.AdminService.GetStatus",
    "admin.v1.AdminService.ListQuarantined",
    "coalition.v1.CoalitionService.GetAppSecret",
    "coalition.v1.CoalitionService.GetCoalition",
    "coalition.v1.CoalitionService.GetDispute",
    "coalition.v1.CoalitionService.ListRecords",
    "coalition.v1.PeerService.GetDirectory",
    "coalition.v1.PeerService.ListLaneRecords",
    "feed.v1.FeedService.Follow",
    "member.v1.MemberService.GetMember",
    "pos.v1.PosService.GetBalance",
    "pos.v1.PosService.GetTransaction",
    "pos.v1.PosService.Identify",
    "pos.v1.PosService.ListStatement",
    "pos.v1.PosService.Quote",
    "programme.v1.ProgrammeService.GetProgramme",
    "programme.v1.ProgrammeService.ListProgrammes",
    "programme.v1.ProgrammeService.PreviewProgramme",
    "settlement.v1.MerchantSettlementService.GetOwnStatement",
    "settlement.v1.MerchantSettlementService.GetPosition",
    "settlement.v1.MerchantSettlementService.ListEquivocations",
    "settlement.v1.MerchantSettlementService.ListOwnPayments",
    "settlement.v1.MerchantSettlementService.ListOwnWindows",
    "settlement.v1.SettlementService.GetStatement",
    "settlement.v1.SettlementService.ListPayments",
    "settlement.v1.SettlementService.ListPositions",
    "settlement.v1.SettlementService.ListPrepaidBalances",
    "settlement.v1.SettlementService.ListWindows",
    "terminal.v1.TerminalService.ListCallers",
}


def _files() -> Iterator[FileDescriptor]:
    modules = sorted(generate.ROOT.glob("vafa/**/*_pb2.py"))
    assert modules
    for path in modules:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield importlib.import_module(name).DESCRIPTOR


def _methods() -> dict[str, MethodDescriptor]:
    """All methods by name, without the `vafa.` that all of them begin with."""
    return {
        method.full_name.removeprefix("vafa."): method
        for file in _files()
        for service in file.services_by_name.values()
        for method in service.methods
    }


def test_the_generated_code_is_what_the_protos_give(tmp_path: Path) -> None:
    generate.generate_into(tmp_path)
    assert generate.drift(tmp_path) == []


def test_drift_is_seen_in_changed_missing_and_left_over_code(tmp_path: Path) -> None:
    generate.generate_into(tmp_path)
    made = tmp_path / "vafa" / "common" / "v1"
    (made / "money_pb2.py").write_text("changed = True\n", "utf-8")
    (made / "effect_pb2.pyi").unlink()
    (made / "gone_pb2.py").touch()
    names = ("effect_pb2.pyi", "gone_pb2.py", "money_pb2.py")
    assert generate.drift(tmp_path) == [f"vafa/common/v1/{name}" for name in names]


def test_every_method_is_said_to_read_or_to_change() -> None:
    said = [*CHANGES_BY_REQUEST_ID, *CHANGES_SAFE_TO_REPEAT, *READS]
    assert sorted(said) == sorted(_methods())


@pytest.mark.parametrize("name", sorted(CHANGES_BY_REQUEST_ID))
def test_a_change_carries_its_request_id_first(name: str) -> None:
    field = _methods()[name].input_type.fields_by_number[1]
    assert field.name == "request_id"
    assert field.type == FieldDescriptor.TYPE_STRING
    assert not field.is_repeated


def test_a_call_without_a_request_id_of_its_own_is_no_reader_in_disguise() -> None:
    for name in READS | set(CHANGES_SAFE_TO_REPEAT):
        field = _methods()[name].input_type.fields_by_number.get(1)
        assert field is None or field.name != "request_id", name


def test_every_operation_of_a_batch_carries_its_request_id_first() -> None:
    operations = operation_pb2.Operation.DESCRIPTOR.oneofs_by_name["operation"].fields
    assert operations
    for operation in operations:
        request = operation.message_type
        assert request is not None, operation.name
        assert request.fields_by_number[1].name == "request_id", operation.name


def test_every_refusal_of_the_ledger_has_its_name_and_number_on_the_wire() -> None:
    prefix, on_the_wire = "REASON_", dict(refusal_pb2.Reason.items())
    assert on_the_wire.pop(f"{prefix}UNSPECIFIED") == 0
    assert on_the_wire == {f"{prefix}{reason.name}": int(reason) for reason in Reason}


def test_money_and_points_are_never_floating_point() -> None:
    floats = {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}
    found = [
        field.full_name
        for file in _files()
        for message in file.message_types_by_name.values()
        for field in message.fields
        if field.type in floats
    ]
    assert found == []


def _buf(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "buf"
    if not program.exists():
        missing = f"no {program.name} beside the interpreter: pip install -e '.[dev]'"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, timeout=120)


def _copy(target: Path) -> Path:
    """The protos and their rules, to be broken."""
    skip = shutil.ignore_patterns("*.py", "*.pyi", "__pycache__")
    shutil.copytree(generate.ROOT, target / "node" / "proto", ignore=skip)
    shutil.copy(ROOT / "buf.yaml", target)
    return target


def _edit(folder: Path, proto: str, old: str, new: str) -> None:
    path = folder / "node" / "proto" / "vafa" / proto
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def test_the_protos_pass_the_linter() -> None:
    result = _buf("lint")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("proto", "comment", "rule"),
    [
        ("pos/v1/pos_service.proto", "  // Spends units in one step.\n", "COMMENT_RPC"),
        ("pos/v1/operation.proto", "  // At most 5,000.\n", "COMMENT_FIELD"),
        ("pos/v1/operation.proto", "// One operation on a stream.\n", "COMMENT_MESSAGE"),
        ("terminal/v1/terminal_service.proto", "  // One till.\n", "COMMENT_ENUM_VALUE"),
    ],
)
def test_whatever_lacks_a_comment_fails_the_linter(
    proto: str, comment: str, rule: str, tmp_path: Path
) -> None:
    broken = _copy(tmp_path)
    _edit(broken, proto, comment, "")
    result = _buf("lint", "--error-format", "json", folder=broken)
    assert result.returncode != 0
    assert rule in result.stdout


@pytest.mark.parametrize(
    ("proto", "old", "new", "rule"),
    [
        ("pos/v1/earning.proto", "string request_id = 1;", "string request_id = 900;", "FIELD_NO_DELETE"),
        ("pos/v1/earning.proto", "string request_id = 1;", "bytes request_id = 1;", "FIELD_SAME_TYPE"),
        ("common/v1/refusal.proto", "REASON_WRONG_CURRENCY = 3;", "REASON_ODD = 3;", "ENUM_VALUE_SAME_NAME"),
        ("pos/v1/pos_service.proto", "rpc Redeem(", "rpc Spend(", "RPC_NO_DELETE"),
    ],
)
def test_a_change_that_would_break_a_client_is_refused(
    proto: str, old: str, new: str, rule: str, tmp_path: Path
) -> None:
    promised, broken = _copy(tmp_path / "promised"), _copy(tmp_path / "broken")
    assert _buf("breaking", "--against", str(promised), folder=broken).returncode == 0
    _edit(broken, proto, old, new)
    result = _buf("breaking", "--error-format", "json", "--against", str(promised), folder=broken)
    assert result.returncode != 0
    assert rule in result.stdout
