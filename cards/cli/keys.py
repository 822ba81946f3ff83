"""`vafa keys`: the ceremony that makes a key, rotation of issuer keys, the list."""

from __future__ import annotations

import json as json_format
import time
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cards.ceremony import (
    MAX_COMPONENTS,
    MIN_COMPONENTS,
    CeremonyRecord,
    CeremonyRefused,
    Component,
    combine,
    parse_component,
    record_of,
    record_text,
)
from cards.ceremony.record import check_witnesses
from cards.cli.terminal import JsonOption, PassphraseFileOption, StoreOption, day, opened, secret, spoken
from cards.crypto import CardKey
from cards.keys import cmac_check_value
from cards.keystore import KeyId, KeyRecord, KeyStore, SealedFileStore, rotate
from cards.keystore.opening import is_module
from cards.keystore.store import exists

MAX_TRIES = 5
"""So often may a custodian type a component anew."""

app = typer.Typer(help="The keys above the cards' keys: ceremony, rotation, list.", no_args_is_help=True)


@app.command()
@spoken
def ceremony(
    key: Annotated[str, typer.Argument(help="The new key: purpose/owner/version, as coalition/parsi/1.")],
    store: StoreOption,
    witness: Annotated[list[str], typer.Option(help="Who sees it, by name; again for each witness.")],
    components: Annotated[
        int, typer.Option(min=MIN_COMPONENTS, max=MAX_COMPONENTS, help="How many custodians bring one.")
    ] = 3,
    record: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="The directory that gets the record.")
    ] = Path(),
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Make a key of components that several people enter, each alone at the keyboard.

    A component is 32, 48 or 64 hexadecimal digits made by chance. The key is their XOR and is never shown;
    its check value is. The record (JSON, and text to sign) holds no byte of the key or of a component.
    """
    key_id = _named(key)
    check_witnesses(witness, [])
    with _opened_or_made(store, passphrase_file) as keeper:
        _hold(key_id, keeper, components, witness, record)


@app.command("rotate")
@spoken
def rotate_issuer(
    merchant: Annotated[str, typer.Argument(help="Whose cards get the new keys.")],
    coalition: Annotated[str, typer.Option(help="Whose key the new ones are derived from.")],
    store: StoreOption,
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Give a merchant the next version of both issuer keys; the first run makes version 1.

    Cards of this version and of the one before are accepted. Rotate again only when the cards of the one
    before have been changed or have run out.
    """
    _named(f"management/{merchant}/1")
    _named(f"coalition/{coalition}/1")
    with opened(store, passphrase_file) as keeper:
        _show(rotate(keeper, coalition, merchant, now_ms=_now_ms()), json)


@app.command("list")
@spoken
def list_keys(
    store: StoreOption, passphrase_file: PassphraseFileOption = None, json: JsonOption = False
) -> None:
    """List the keys with their check values."""
    with opened(store, passphrase_file) as keeper:
        _show(keeper.records(), json)


def _named(text: str) -> KeyId:
    try:
        return KeyId.parse(text)
    except ValueError as wrong:
        raise typer.BadParameter(f"{text}: {wrong}") from None


def _hold(key_id: KeyId, keeper: KeyStore, components: int, witnesses: list[str], directory: Path) -> None:
    """The ceremony itself, before an open store."""
    started_ms = _now_ms()
    if any(kept.id == key_id for kept in keeper.records()):
        raise exists(key_id, keeper.place)
    entered: list[Component] = []
    for number in range(1, components + 1):
        entered.append(_entered(number, components))
        check_witnesses(witnesses, [component.custodian for component in entered])
    made = combine(entered)
    typer.echo(f"\nCheck value of the key: {_hex(cmac_check_value(made))}")
    kept = keeper.add(key_id, made, created_ms=_now_ms())
    _write_record(directory, record_of(kept, keeper.place, entered, witnesses, started_ms=started_ms))


def _opened_or_made(place: str, passphrase_file: Path | None) -> AbstractContextManager[KeyStore]:
    if is_module(place) or Path(place).exists():
        return opened(place, passphrase_file)
    typer.echo(f"{place} does not exist; it is made now.")
    if passphrase_file is not None:
        return closing(SealedFileStore.create(Path(place), secret(passphrase_file, "")))
    words = f"New passphrase of {place}, at least 12 characters"
    passphrase = str(typer.prompt(words, hide_input=True, confirmation_prompt=True, err=True))
    return closing(SealedFileStore.create(Path(place), passphrase))


def _entered(number: int, of: int) -> Component:
    """One custodian's turn at the keyboard."""
    typer.echo(f"\nComponent {number} of {of}. The custodian alone sees the keyboard.")
    custodian = str(typer.prompt("Name"))
    for tries_left in reversed(range(MAX_TRIES)):
        if (value := _typed()) is not None:
            component = Component(custodian, value, _now_ms())
            typer.echo(f"Check value {_hex(component.check_value)}")
            if typer.confirm("Is that the check value on the sheet?"):
                return component
        typer.echo(f"It was not taken. {tries_left} tries left.")
    raise CeremonyRefused("The component could not be entered. No key was made; begin anew.")


def _typed() -> CardKey | None:
    try:
        return parse_component(str(typer.prompt("Component (not shown)", hide_input=True)))
    except CeremonyRefused as wrong:
        typer.echo(str(wrong))
        return None


def _write_record(directory: Path, record: CeremonyRecord) -> None:
    name = "ceremony-" + record.key.replace("/", "-")
    text = record_text(record)
    try:
        for suffix, content in ((".json", record.as_json()), (".txt", text.encode("utf-8"))):
            with (directory / (name + suffix)).open("xb") as file:
                file.write(content)
    except OSError as wrong:
        # The key is kept and the people are still here: what they sign must not be lost with a full disk.
        typer.echo(text)
        raise CeremonyRefused(
            f"The key is kept, but its record could not be written ({wrong.filename}: {wrong.strerror})."
            " It stands above: print it, and have it signed."
        ) from None
    typer.echo(f"Kept {record.key} in {record.store}.")
    typer.echo(f"The record is {directory / name}.json; print {directory / name}.txt and have it signed.")


def _show(records: list[KeyRecord], json: bool) -> None:
    if json:
        typer.echo(json_format.dumps([_plain(record) for record in records], indent=2))
        return
    if not records:
        typer.echo("There are no keys.")
        return
    table = Table("key", "bits", "check value", "made", "from", box=None)
    for record in records:
        table.add_row(
            str(record.id),
            str(record.key_bits),
            _hex(record.check_value),
            day(record.created_ms),
            str(record.parent or "outside"),
        )
    Console().print(table)


def _plain(record: KeyRecord) -> dict[str, object]:
    return {
        "key": str(record.id),
        "bits": record.key_bits,
        "check_value": _hex(record.check_value),
        "created_ms": record.created_ms,
        "parent": str(record.parent) if record.parent else None,
    }


def _hex(value: bytes) -> str:
    return value.hex().upper()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
