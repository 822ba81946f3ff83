"""`vafa cards sign`, `personalise`, `audit` and `print`: a batch from its order to its papers."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cards.cli.enrolling import NodeEnroller
from cards.cli.place import ReaderOption, reader_place, virtual_place
from cards.cli.terminal import JsonOption, PassphraseFileOption, StoreOption, opened, spoken
from cards.jobs import (
    CardOutcome,
    IssuerKeys,
    JobBook,
    JobRefused,
    Result,
    Runner,
    audit_job,
    read_signed,
    sign_manifest,
)
from cards.jobs.manifest import Accounts, SignedJob
from cards.keys import Domain
from cards.keystore import key_ring
from cards.printing import faces_csv, faces_of, faces_pdf
from node.cli.connection import DEFAULT_CONFIG, AddressOption, CertificateOption, ConfigOption
from node.identity.signers import signer_from_uri

JobArgument = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The manifest, JOB.toml.")]
SignerOption = Annotated[
    str,
    typer.Option(
        "--signer", envvar="VAFA_JOB_SIGNER", help="The public key that orders are signed with: ed25519:…"
    ),
]
WorkOption = Annotated[
    Path | None,
    typer.Option("--work", file_okay=False, help="The job's directory; else beside the manifest."),
]
_SECONDS_OF_AN_HOUR = 3600.0


@spoken
def sign(
    job: JobArgument,
    key: Annotated[str, typer.Option("--key", help="The signing key: file:/path/to/key.pem (Ed25519).")],
) -> None:
    """Sign a manifest, and say with which public key it is to be verified."""
    signer = signer_from_uri(key)
    beside = sign_manifest(job, signer)
    typer.echo(f"{beside} was written. The bureau verifies with: --signer {signer.public_uri}")


@spoken
def personalise(
    job: JobArgument,
    store: StoreOption,
    signer: SignerOption,
    reader: ReaderOption = "",
    virtual: Annotated[
        str, typer.Option(help="Virtual cards of this kind, instead of a reader: ntag424, desfire, javacard.")
    ] = "",
    work: WorkOption = None,
    trace: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Append every command and answer, secrets masked.")
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
    json: JsonOption = False,
) -> None:
    """Make the cards of a job, one after another as they are put on the reader. Run it again to resume.

    Ctrl-C ends it between two cards or in the middle of one; either way the next run goes on from there.
    """
    signed = read_signed(job, signer)
    manifest, directory = signed.manifest, work or _work(job)
    if virtual and virtual != manifest.profile:
        raise JobRefused(f"The job is for {manifest.profile} cards, not for {virtual}.")
    with opened(store, passphrase_file) as keeper:
        keys = IssuerKeys(
            key_ring(keeper, manifest.issuer, Domain.MANAGEMENT),
            key_ring(keeper, manifest.issuer, Domain.VERIFICATION),
        )
    enrols = manifest.enrolment.accounts is not Accounts.NONE
    enroller = NodeEnroller(config, address or manifest.enrolment.node, certificate) if enrols else None
    console = Console(stderr=True)
    cards = (
        virtual_place(manifest.profile, manifest.count, directory / "virtual")
        if virtual
        else reader_place(reader, console.print)
    )
    counts: Counter[Result] = Counter()
    started = time.monotonic()
    with (
        JobBook(directory, signed, _now_ms) as book,
        cards as place,
        trace.open("a", encoding="utf-8") if trace else nullcontext() as sink,
        _Bar(console, manifest.count, len(book.made)) as bar,
    ):

        def report(outcome: CardOutcome) -> None:
            counts[outcome.result] += 1
            bar.show(outcome, len(book.made))

        runner = Runner(
            book,
            keys,
            place,
            random_bytes=os.urandom,
            now_ms=_now_ms,
            enroller=enroller,
            trace=(lambda line: print(line, file=sink)) if sink else None,
        )
        try:
            runner.run(report)
        except KeyboardInterrupt:
            console.print("Stopped. Run the same command again to go on.")
        missing = manifest.count - len(book.finished)
    _summary(signed, counts, missing, time.monotonic() - started, json)
    if missing:
        raise typer.Exit(1)


@spoken
def audit(job: JobArgument, signer: SignerOption, work: WorkOption = None, json: JsonOption = False) -> None:
    """Check the chains of a job's journals, and list what is finished, open and set aside."""
    found = audit_job(work or _work(job), read_signed(job, signer))
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        typer.echo(f"{found.job}: {found.finished} of {found.wanted} cards are finished.")
        for number in found.not_finished:
            typer.echo(f"  open       {number}")
        for chip, why in found.set_aside.items():
            typer.echo(f"  set aside  chip {chip}: {why}")
        typer.echo(f"The journal's last hash is {found.head}. Write it on the delivery note.")
    for problem in found.problems:
        typer.echo(f"vafa: {problem}", err=True)
    if found.problems:
        raise typer.Exit(1)


@spoken
def print_file(
    job: JobArgument,
    signer: SignerOption,
    to: Annotated[
        Path, typer.Option("--to", dir_okay=False, help="The file: its name ends in .csv or .pdf.")
    ],
    work: WorkOption = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="All numbers of the batch, not only those of finished cards.")
    ] = False,
    font: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A font with the scripts of the names.")
    ] = None,
) -> None:
    """Write what the card printer gets: number, name, and a QR code or barcode for each card."""
    signed = read_signed(job, signer)
    manifest = signed.manifest
    numbers = (
        [manifest.number(place) for place in range(manifest.count)]
        if whole
        else sorted(audit_job(work or _work(job), signed).keys)
    )
    faces = faces_of(signed, numbers)
    if to.suffix not in (".csv", ".pdf"):
        raise typer.BadParameter("the file's name ends in .csv or .pdf", param_hint="--to")
    content = faces_csv(faces) if to.suffix == ".csv" else faces_pdf(faces, font)
    # Names are personal data.
    descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    typer.echo(f"{to}: {len(faces)} cards.")


def _work(job: Path) -> Path:
    return job.with_suffix(".work")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class _Bar:
    """The progress at a terminal: cards made of the batch, cards an hour, failures."""

    def __init__(self, console: Console, total: int, made: int) -> None:
        self._progress = Progress(
            TextColumn("[bold]cards"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]} an hour, {task.fields[failures]} failures"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=total, completed=made, rate="-", failures=0)
        self._started, self._made_before, self._failures = time.monotonic(), made, 0

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, outcome: CardOutcome, made: int) -> None:
        """One more card."""
        if outcome.result is not Result.FINISHED:
            self._failures += outcome.result is not Result.NOT_ENROLLED
            name = outcome.number or outcome.uid or "card"
            self._progress.console.print(f"{name}: {outcome.result.value}. {outcome.words}", markup=False)
        seconds = max(time.monotonic() - self._started, 1e-3)
        rate = f"{(made - self._made_before) * _SECONDS_OF_AN_HOUR / seconds:,.0f}"
        self._progress.update(self._task, completed=made, rate=rate, failures=self._failures)


def _summary(signed: SignedJob, counts: Counter[Result], missing: int, seconds: float, as_json: bool) -> None:
    manifest = signed.manifest
    finished = manifest.count - missing
    if as_json:
        shown = {
            "job": manifest.job,
            "wanted": manifest.count,
            "finished": finished,
            "seconds": round(seconds, 3),
            "outcomes": {result.name.lower(): number for result, number in counts.items()},
        }
        typer.echo(msgspec.json.encode(shown).decode())
        return
    typer.echo(f"{manifest.job}: {finished} of {manifest.count} cards are finished.")
    if missing:
        typer.echo("Run the same command again for the others; vafa cards audit lists them.")
