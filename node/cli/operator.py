"""`vafa operator`: who takes part in a coalition and on what terms, signed for all partners."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from node.cli import operator_money, operator_windows
from node.cli.operator_home import OperatorHome, OperatorRefused, read_request
from node.cli.operator_service import authority_of
from node.cli.operator_standing import applied, standings
from node.coalition.directory import Directory, Key
from node.coalition.directory_checks import problems, succession_problems
from node.identity.peers import PeerRefused, load_peer_authority
from node.wire.coalition_directory import JoinRequest, Unreadable, sign_directory
from node.wire.coalition_template import TEMPLATE
from node.wire.coalition_terms import next_directory, range_text, read_terms, says_the_same
from node.wire.settlement_terms import PARTNER_HINTS, SETTLEMENT_TEMPLATE

app = typer.Typer(
    help="Operate a coalition: admit partners, publish the directory, settle.", no_args_is_help=True
)
app.add_typer(operator_windows.window, name="window")
app.command("run")(operator_windows.run)
app.command("settle")(operator_windows.settle)
app.command("paid")(operator_windows.paid)
app.command("top-up")(operator_windows.top_up)
app.command("correct")(operator_windows.correct)
app.command("payments")(operator_money.payments)
app.command("default")(operator_money.default)
app.command("positions")(operator_money.positions)
app.command("prepaid")(operator_money.prepaid)

DirectoryOption = Annotated[
    Path, typer.Option("--dir", envvar="VAFA_OPERATOR", help="The operator's directory, as `init` made it.")
]
HERE = Path()


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Where to make it; a new directory.")],
    coalition: Annotated[str, typer.Option(help="Short id of the coalition: a-z, 0-9 and hyphen.")],
    currency: Annotated[str, typer.Option(help="ISO 4217 code in which points are worth something.")] = "IRR",
    timezone: Annotated[str, typer.Option(help="IANA time zone of the settlement calendar.")] = "Asia/Tehran",
    purse: Annotated[
        str, typer.Option(help="The purse of everybody's programme that works abroad.")
    ] = "points",
) -> None:
    """Make an operator's directory: the coalition's terms to be edited, and the key that signs them."""
    today = datetime.now(UTC).date()
    toml = TEMPLATE.format(
        id=json.dumps(coalition),
        currency=json.dumps(currency),
        purse=json.dumps(purse),
        time_zone=json.dumps(timezone),
        first_day=today.replace(day=1).isoformat(),
        from_time=f"{today.replace(day=1).isoformat()}T00:00:00Z",
    )
    toml += SETTLEMENT_TEMPLATE.format(currency=json.dumps(currency), exponent=0 if currency == "IRR" else 2)
    try:
        read_terms(toml)
    except Unreadable as wrong:
        raise OperatorRefused(f"{wrong} Nothing was made.") from None
    home = OperatorHome(directory)
    home.make(toml)
    typer.echo(f"Made {home.terms_path}: read it, and set the worth of a point, the calendar and the caps.")
    typer.echo(f"The key that signs: {home.signer().public_uri}")
    typer.echo("Tell it to every partner in person or over the phone: by it they know your directory.")
    typer.echo(f"Next: vafa operator admit PARTNER --request FILE --dir {directory}")


@app.command()
def admit(
    partner: Annotated[str, typer.Argument(help="The merchant's id, as you know it.")],
    request: Annotated[Path, typer.Option(help="The file that `vafa join` made at the merchant's.")],
    directory: DirectoryOption = HERE,
    replace_keys: Annotated[
        bool, typer.Option(help="A known partner has lost all its keys; you have made sure that it is them.")
    ] = False,
) -> None:
    """Admit a merchant's request. It takes effect when the directory is next published."""
    home = OperatorHome(directory)
    terms, asked = home.terms(), read_request(request)
    problem = _request_problem(home, partner, asked, terms.coalition.id, replace_keys)
    if problem:
        raise OperatorRefused(f"{request}: {problem} Nothing was changed.")
    home.keep_request(partner, request.read_text(encoding="utf-8-sig"))
    if partner not in terms.partners:
        ranges = ", ".join(json.dumps(range_text(span)) for span in asked.partner.ranges)
        relay = asked.partner.relay_partner_id
        said = f"relay = {json.dumps(relay)}\n" if relay else ""
        said += PARTNER_HINTS
        _append(home.terms_path, f'\n[partners.{partner}]\nstatus = "active"\nranges = [{ranges}]\n{said}')
    typer.echo(f"Admitted {partner}: {asked.partner.name}")
    for key in asked.partner.keys:
        typer.echo(f"  key {key.uri}")
    typer.echo("Compare the keys with the merchant in person or over the phone before you publish.")
    typer.echo(
        f"Its ranges and status are in {home.terms_path}. Next: vafa operator publish --dir {directory}"
    )


@app.command()
def publish(directory: DirectoryOption = HERE) -> None:
    """Sign terms and partners as the next directory."""
    home = OperatorHome(directory)
    before = home.published()
    now_ms = time.time_ns() // 1_000_000
    signer, following = home.signer(), home.next_signer()
    keys = (Key(signer.public_uri, 0), *((Key(following.public_uri, 0),) if following else ()))
    authority = authority_of(home, make=bool(home.terms().operator.endpoints))
    service = authority.certificate_pem if authority else b""
    try:
        made = next_directory(
            home.terms(), home.requests(), before.directory if before else None, keys, now_ms, service
        )
    except Unreadable as wrong:
        raise OperatorRefused(f"{home.terms_path}: {wrong} Nothing was published.") from None
    made, lines = applied(made, standings(home))
    if before is not None and says_the_same(before.directory, made):
        typer.echo(f"Nothing has changed since version {before.directory.version}; nothing was published.")
        return
    _refuse_problems(home, before.directory if before else None, made)
    newest = home.publish(sign_directory(made, signer))
    typer.echo(f"Published version {made.version}: {newest}")
    typer.echo("\n".join(lines), nl=bool(lines))
    typer.echo(f"Partners: {', '.join(partner.partner_id for partner in made.partners) or 'none yet'}.")
    typer.echo(
        "Hand the file to every partner; a node that has it hands it on to those that it is linked to."
    )


@app.command("rotate-key")
def rotate_key(
    directory: DirectoryOption = HERE,
    finish: Annotated[bool, typer.Option(help="Let the next key sign from now on.")] = False,
) -> None:
    """Change the key that signs the directory: first name the next one, later let it sign."""
    home = OperatorHome(directory)
    if not finish:
        key = home.make_next_key()
        typer.echo(f"Made the next key: {key.public_uri}")
        typer.echo("Publish, wait until all partners follow that directory, then: rotate-key --finish")
        return
    following, published = home.next_signer(), home.published()
    if following is None:
        raise OperatorRefused("There is no next key. `vafa operator rotate-key` makes one.")
    named = published is not None and any(
        key.uri == following.public_uri for key in published.directory.operator_keys
    )
    if not named:
        raise OperatorRefused(
            "The newest directory does not name the next key yet, so nobody would believe it. "
            "Nothing was changed; `vafa operator publish` first."
        )
    home.take_next_key()
    typer.echo(f"From now on {following.public_uri} signs. Publish: that directory ends the old key.")


def _request_problem(
    home: OperatorHome, partner: str, asked: JoinRequest, coalition: str, replace_keys: bool
) -> str:
    """Why a request is not admitted; empty where it may be."""
    wanted = asked.partner
    if asked.coalition_id != coalition:
        return f"it asks to join {asked.coalition_id!r}, not {coalition!r}."
    if wanted.partner_id != partner:
        return f"it is a request of {wanted.partner_id!r}, not of {partner!r}."
    try:
        authority = load_peer_authority(wanted.authority_pem)
    except PeerRefused as wrong:
        return str(wrong)
    for name, other in home.requests().items():
        if name == partner:
            if other.request_time_ms > asked.request_time_ms:
                return f"an admitted request of {partner} is newer."
            known = {key.uri for key in other.partner.keys}
            if asked.key_uri not in known and not replace_keys:
                return (
                    f"it is signed by none of the keys that {partner} had. Ask {partner} in person; "
                    "if it has lost its keys, repeat with --replace-keys."
                )
        elif load_peer_authority(other.partner.authority_pem).subject == authority.subject:
            # TLS looks an authority up by its subject: of two with the same one, either could be tried.
            return f"its authority bears the same name as that of {name}."
    return ""


def _refuse_problems(home: OperatorHome, before: Directory | None, made: Directory) -> None:
    found = problems(made) + (succession_problems(before, made) if before else [])
    if found:
        lines = "\n".join(f"  {problem}" for problem in found)
        raise OperatorRefused(f"The directory would not be followed:\n{lines}\nNothing was published.")


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
