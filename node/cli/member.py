"""`vafa member`: persons and their accounts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from node.cli import member_card, member_pin, member_value
from node.cli.call import Call, asking, changing
from node.cli.connection import identifier
from node.cli.member_text import member_lines
from node.people.calendars import Calendar, parse_date
from node.people.invalid import Invalid
from node.people.text import isolate
from node.proto.vafa.common.v1 import identifier_pb2
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.member.v1 import person_pb2
from node.proto.vafa.member.v1.member_service_pb2_grpc import MemberServiceStub

app = typer.Typer(
    help="Members: persons, accounts, pools. Name one as phone:…, card:…, barcode:…, app:… or by account id.",
    no_args_is_help=True,
)

MemberArgument = member_value.MemberArgument
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the journal.")]
GivenOption = Annotated[str | None, typer.Option("--given-name", help="Given name, in any script.")]
FamilyOption = Annotated[str | None, typer.Option("--family-name", help="Family name, in any script.")]
EmailOption = Annotated[str | None, typer.Option("--email", help="E-mail address for messages.")]
BirthOption = Annotated[str | None, typer.Option("--birth-date", help="YYYY-MM-DD, in any digits.")]
CalendarOption = Annotated[
    str, typer.Option("--calendar", help="gregorian or jalali; else the year tells: 1200 to 1599 is Jalali.")
]
LocaleOption = Annotated[str | None, typer.Option("--locale", help="Language, such as fa-IR.")]
ConsentOption = Annotated[
    list[str] | None,
    typer.Option("--consent", help="channel:purpose that is agreed to, such as sms:marketing; repeatable."),
]
WithdrawOption = Annotated[
    list[str] | None, typer.Option("--withdraw", help="channel:purpose that is withdrawn; repeatable.")
]
ConsentTextOption = Annotated[
    str, typer.Option("--consent-text", help="Version of the text that was agreed to; needed with --consent.")
]
ConsentSourceOption = Annotated[
    str, typer.Option("--consent-source", help="Where it was said, such as 'paper form'.")
]


@app.command()
@changing
def enrol(
    call: Call,
    given_name: GivenOption = None,
    family_name: FamilyOption = None,
    phone: Annotated[str, typer.Option(help="Telephone number: for messages, and linked.")] = "",
    card: Annotated[list[str] | None, typer.Option(help="Card number to link; repeatable.")] = None,
    link: Annotated[list[str] | None, typer.Option(help="barcode:… or app:… to link; repeatable.")] = None,
    email: EmailOption = None,
    birth_date: BirthOption = None,
    calendar: CalendarOption = "",
    locale: LocaleOption = None,
    consent: ConsentOption = None,
    consent_text: ConsentTextOption = "",
    consent_source: ConsentSourceOption = "",
    referrer: Annotated[str, typer.Option(help="Who brought them, as a MEMBER elsewhere.")] = "",
    source: Annotated[str, typer.Option(help="Where they were won, such as a store or campaign.")] = "",
    bearer: Annotated[bool, typer.Option("--bearer", help="A gift card's account: nobody's.")] = False,
) -> None:
    """Open an account for a person, or for whoever bears a card, and link identifiers to it."""
    shown = [f"phone:{phone}"] if phone else []
    shown += [f"card:{number}" for number in card or []] + (link or [])
    request = pb.EnrolRequest(identifiers=[identifier(text) for text in shown])
    details = _person(given_name, family_name, phone, email, birth_date, calendar, locale)
    _add_consents(details, consent, None, consent_text, consent_source)
    details.source = source
    if referrer:
        details.referrer_account_id = _account_id(call, referrer)
    if bearer:
        request.kind = pb.ACCOUNT_KIND_BEARER
    if details.ByteSize() or not bearer:
        request.person.CopyFrom(details)
    answer = call.change(MemberServiceStub, "Enrol", request)
    call.show(answer, lambda: f"Enrolled. The account is {answer.account_id}")


def _person(
    given_name: str | None,
    family_name: str | None,
    phone: str | None,
    email: str | None,
    birth_date: str | None,
    calendar: str,
    locale: str | None,
) -> person_pb2.Person:
    person = person_pb2.Person(
        given_name=given_name or "",
        family_name=family_name or "",
        phone=phone or "",
        email=email or "",
        locale=locale or "",
    )
    if birth_date:
        calendars = {"": None, "gregorian": Calendar.GREGORIAN, "jalali": Calendar.JALALI}
        if calendar not in calendars:
            raise typer.BadParameter("a calendar is gregorian or jalali", param_hint="--calendar")
        day = parse_date(birth_date, calendars[calendar])
        if isinstance(day, Invalid):
            raise typer.BadParameter(day.message, param_hint="--birth-date")
        person.birth_date.calendar = int(day.calendar)  # type: ignore[assignment]  # the protos' own numbers
        person.birth_date.date = day.isoformat()
    return person


def _add_consents(
    person: person_pb2.Person,
    given: list[str] | None,
    withdrawn: list[str] | None,
    text_version: str,
    source: str,
) -> None:
    if given and not text_version:
        raise typer.BadParameter(
            "a consent counts only with the version of the text agreed to: add --consent-text",
            param_hint="--consent",
        )
    for text, granted in [*((one, True) for one in given or []), *((one, False) for one in withdrawn or [])]:
        channel, _, purpose = text.lower().partition(":")
        try:
            person.consents.add(
                channel=person_pb2.Channel.Value(f"CHANNEL_{channel.upper()}"),
                purpose=person_pb2.Purpose.Value(f"PURPOSE_{purpose.upper().replace('-', '_')}"),
                granted=granted,
                text_version=text_version if granted else "",
                source=source,
            )
        except ValueError:
            channels = _names(person_pb2.Channel, "CHANNEL_")
            purposes = _names(person_pb2.Purpose, "PURPOSE_")
            raise typer.BadParameter(
                f"{text!r}: write channel:purpose; channels are {channels}; purposes are {purposes}",
                param_hint="--consent" if granted else "--withdraw",
            ) from None


def _names(enum: Any, prefix: str) -> str:
    names = (name.removeprefix(prefix).lower().replace("_", "-") for name in enum.keys() if enum.Value(name))  # noqa: SIM118 - a proto enum is no mapping
    return ", ".join(names)


def _account_id(call: Call, member: str) -> str:
    wanted = identifier(member)
    if wanted.kind == identifier_pb2.IDENTIFIER_KIND_ACCOUNT:
        return wanted.value
    answer = call.ask(MemberServiceStub, "GetMember", pb.GetMemberRequest(identifier=wanted))
    return str(answer.account_id)


@app.command("show")
@asking
def show_member(call: Call, member: MemberArgument) -> None:
    """Show an account with its person, its identifiers, its purses and what waits for approval."""
    answer = call.ask(MemberServiceStub, "GetMember", pb.GetMemberRequest(identifier=identifier(member)))
    call.show(answer, lambda: "\n".join(member_lines(answer, call.time_zone())))


@app.command()
@changing
def change(
    call: Call,
    member: MemberArgument,
    given_name: GivenOption = None,
    family_name: FamilyOption = None,
    phone: Annotated[str | None, typer.Option(help="Number for messages; links nothing.")] = None,
    email: EmailOption = None,
    birth_date: BirthOption = None,
    calendar: CalendarOption = "",
    locale: LocaleOption = None,
    consent: ConsentOption = None,
    withdraw: WithdrawOption = None,
    consent_text: ConsentTextOption = "",
    consent_source: ConsentSourceOption = "",
) -> None:
    """Change what is known of the person. An option with an empty value takes away; consents are added."""
    person = _person(given_name, family_name, phone, email, birth_date, calendar, locale)
    _add_consents(person, consent, withdraw, consent_text, consent_source)
    named = {
        "given_name": given_name,
        "family_name": family_name,
        "phone": phone,
        "email": email,
        "birth_date": birth_date,
        "locale": locale,
        "consents": "added" if person.consents else None,
    }
    mask = [field for field, value in named.items() if value is not None]
    if not mask:
        raise typer.BadParameter("say what to change; `vafa member change --help` lists the options")
    request = pb.UpdatePersonRequest(identifier=identifier(member), person=person)
    request.update_mask.paths.extend(mask)
    answer = call.change(MemberServiceStub, "UpdatePerson", request)
    call.show(answer, lambda: f"Changed: {', '.join(mask)}.")


@app.command()
@changing
def link(
    call: Call,
    member: MemberArgument,
    new: Annotated[str, typer.Argument(help="What to link, such as card:6037….", metavar="IDENTIFIER")],
) -> None:
    """Link one more identifier to an account."""
    request = pb.LinkIdentifierRequest(identifier=identifier(member), new_identifier=identifier(new))
    answer = call.change(MemberServiceStub, "LinkIdentifier", request)
    call.show(answer, lambda: f"Linked {isolate(new)}.")


@app.command()
@changing
def unlink(
    call: Call,
    old: Annotated[str, typer.Argument(help="What to take off, such as card:6037….", metavar="IDENTIFIER")],
) -> None:
    """Take an identifier, such as a lost card, off the account that it is linked to."""
    request = pb.UnlinkIdentifierRequest(identifier=identifier(old))
    answer = call.change(MemberServiceStub, "UnlinkIdentifier", request)
    call.show(answer, lambda: f"Unlinked {isolate(old)}.")


@app.command()
@changing
def block(call: Call, member: MemberArgument, reason: ReasonOption) -> None:
    """Stop an account from spending. It still earns."""
    request = pb.SetBlockRequest(identifier=identifier(member), blocked=True, reason=reason)
    answer = call.change(MemberServiceStub, "SetBlock", request)
    call.show(answer, lambda: f"Blocked {isolate(member)}.")


@app.command()
@changing
def unblock(call: Call, member: MemberArgument, reason: ReasonOption) -> None:
    """Let a blocked account spend again."""
    request = pb.SetBlockRequest(identifier=identifier(member), blocked=False, reason=reason)
    answer = call.change(MemberServiceStub, "SetBlock", request)
    call.show(answer, lambda: f"{isolate(member)} may spend again.")


@app.command()
@changing
def close(
    call: Call,
    member: MemberArgument,
    reason: ReasonOption,
    forfeit: Annotated[
        bool, typer.Option("--forfeit", help="Let what is left lapse to the merchant; else it is refused.")
    ] = False,
) -> None:
    """Close an account for good."""
    request = pb.CloseAccountRequest(identifier=identifier(member), forfeit_balances=forfeit, reason=reason)
    answer = call.change(MemberServiceStub, "CloseAccount", request)
    call.show(answer, lambda: f"Closed {isolate(member)}.")


@app.command()
@changing
def erase(
    call: Call,
    member: MemberArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Destroy what is known of the person, for good. The account's entries stay in the books."""
    wanted = identifier(member)
    if not yes:
        shown = call.ask(MemberServiceStub, "GetMember", pb.GetMemberRequest(identifier=wanted))
        typer.echo("\n".join(member_lines(shown, call.time_zone())), err=True)
        typer.confirm("Erase this person? It cannot be undone.", abort=True, err=True)
    answer = call.change(MemberServiceStub, "ErasePerson", pb.ErasePersonRequest(identifier=wanted))
    call.show(answer, lambda: "Erased. Backups made before still hold the person: a restore erases again.")


app.command("balance")(member_value.balance)
app.command("statement")(member_value.statement)
app.command("adjust")(member_value.adjust)
app.command("approve")(member_value.approve)
app.command("reject")(member_value.reject)
app.command("transfer")(member_value.transfer)
app.add_typer(member_value.pool, name="pool")
app.add_typer(member_pin.pin, name="pin")
app.add_typer(member_card.card, name="card")
