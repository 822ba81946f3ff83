"""Which roles may call which method. A test walks every method of every service and finds it here."""

from __future__ import annotations

from node.identity.caller import Role

OPEN = ("/grpc.health.v1.Health/", "/grpc.reflection.", "/vafa.terminal.v1.EnrolmentService/")
"""What needs no role: health checking, reflection, and enrolment by a one-time code."""

_TILLS = frozenset({Role.TILL, Role.GATEWAY, Role.STAFF, Role.ADMIN})
_STAFF = frozenset({Role.STAFF, Role.ADMIN})
_ADMIN = frozenset({Role.ADMIN})
_FEED = frozenset({Role.READER, Role.ADMIN})
_EVERYBODY = frozenset(Role)

_POS = "/vafa.pos.v1.PosService/"
_MEMBER = "/vafa.member.v1.MemberService/"
_PROGRAMME = "/vafa.programme.v1.ProgrammeService/"
_TERMINAL = "/vafa.terminal.v1.TerminalService/"
_COALITION = "/vafa.coalition.v1.CoalitionService/"
_SETTLEMENT = "/vafa.settlement.v1.MerchantSettlementService/"
_ADMINISTRATION = "/vafa.admin.v1.AdminService/"

ROLES: dict[str, frozenset[Role]] = {
    f"{_POS}Identify": _TILLS,
    f"{_POS}Quote": _TILLS,
    f"{_POS}Accrue": _TILLS,
    f"{_POS}RecordActivity": _TILLS,
    f"{_POS}ClaimPurchase": _TILLS,
    f"{_POS}Authorize": _TILLS,
    f"{_POS}Capture": _TILLS,
    f"{_POS}Void": _TILLS,
    f"{_POS}RequestProof": _TILLS,
    f"{_POS}BeginCardProof": _TILLS,
    f"{_POS}ContinueCardProof": _TILLS,
    f"{_POS}Redeem": _TILLS,
    f"{_POS}Return": _TILLS,
    f"{_POS}Reverse": _TILLS,
    f"{_POS}GetTransaction": _TILLS,
    f"{_POS}GetBalance": _TILLS,
    f"{_POS}ListStatement": _TILLS,
    f"{_POS}Submit": _TILLS,
    f"{_POS}SubmitStream": _TILLS,
    f"{_MEMBER}Enrol": _TILLS,
    f"{_MEMBER}GetMember": _STAFF,
    f"{_MEMBER}UpdatePerson": _STAFF,
    f"{_MEMBER}LinkIdentifier": _STAFF,
    f"{_MEMBER}UnlinkIdentifier": _STAFF,
    f"{_MEMBER}RecordCard": _STAFF,
    f"{_MEMBER}SetPin": _STAFF,
    f"{_MEMBER}ResetPin": _STAFF,
    f"{_MEMBER}SetBlock": _STAFF,
    f"{_MEMBER}CloseAccount": _STAFF,
    f"{_MEMBER}ErasePerson": _STAFF,
    f"{_MEMBER}Adjust": _STAFF,
    f"{_MEMBER}DecideAdjustment": _STAFF,
    f"{_MEMBER}Transfer": _STAFF,
    f"{_MEMBER}CreatePool": _STAFF,
    f"{_MEMBER}JoinPool": _STAFF,
    f"{_MEMBER}LeavePool": _STAFF,
    f"{_PROGRAMME}PublishProgramme": _ADMIN,
    f"{_PROGRAMME}GetProgramme": _TILLS,
    f"{_PROGRAMME}ListProgrammes": _STAFF,
    f"{_PROGRAMME}PreviewProgramme": _STAFF,
    f"{_TERMINAL}CreateEnrolment": _ADMIN,
    f"{_TERMINAL}ListCallers": _STAFF,
    f"{_TERMINAL}RevokeCaller": _ADMIN,
    f"{_TERMINAL}RenewCertificate": _EVERYBODY,
    "/vafa.feed.v1.FeedService/Follow": _FEED,
    f"{_COALITION}AdoptDirectory": _ADMIN,
    f"{_COALITION}GetCoalition": _STAFF,
    f"{_COALITION}ListRecords": _STAFF,
    f"{_COALITION}GetDispute": _STAFF,
    f"{_COALITION}GetAppSecret": _ADMIN,
    f"{_SETTLEMENT}ListOwnWindows": _STAFF,
    f"{_SETTLEMENT}GetPosition": _STAFF,
    f"{_SETTLEMENT}GetOwnStatement": _STAFF,
    f"{_SETTLEMENT}ListEquivocations": _STAFF,
    f"{_SETTLEMENT}ListOwnPayments": _STAFF,
    f"{_SETTLEMENT}ReportOwnPayments": _ADMIN,
    f"{_ADMINISTRATION}GetStatus": _STAFF,
    f"{_ADMINISTRATION}CreateBackup": _ADMIN,
    f"{_ADMINISTRATION}CheckBooks": _STAFF,
    f"{_ADMINISTRATION}ListQuarantined": _STAFF,
    f"{_ADMINISTRATION}ReleaseQuarantined": _ADMIN,
}
