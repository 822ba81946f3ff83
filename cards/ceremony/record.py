"""The record of a ceremony: who did what and when, with check values, for a file and for paper. No key byte
in it.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import msgspec

from cards.ceremony.components import MAX_NAME_CHARACTERS, CeremonyRefused, Component, folded_name
from cards.keystore import KeyRecord

FORMAT = 1


class Contribution(msgspec.Struct, frozen=True):
    """One custodian's part: the name, the component's check value in hex, when it was entered."""

    custodian: str
    check_value: str
    entered_ms: int


class CeremonyRecord(msgspec.Struct, frozen=True):
    """What witnesses sign. Times are milliseconds since 1970; check values are hex."""

    format: int
    key: str
    key_bits: int
    key_check_value: str
    store: str
    started_ms: int
    finished_ms: int
    contributions: list[Contribution]
    witnesses: list[str]

    @property
    def digest(self) -> str:
        """SHA-256 of the record's JSON, which ties the signed paper to the file."""
        return hashlib.sha256(self.as_json()).hexdigest()

    def as_json(self) -> bytes:
        """The record as it is kept: JSON in UTF-8, the same bytes for the same record."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def record_of(
    kept: KeyRecord, place: str, components: list[Component], witnesses: list[str], *, started_ms: int
) -> CeremonyRecord:
    """The record of a key that was kept in the store at `place`.

    `CeremonyRefused` without a witness, or with one who is a custodian or stands there twice.
    """
    check_witnesses(witnesses, [component.custodian for component in components])
    return CeremonyRecord(
        format=FORMAT,
        key=str(kept.id),
        key_bits=kept.key_bits,
        key_check_value=kept.check_value.hex().upper(),
        store=place,
        started_ms=started_ms,
        finished_ms=kept.created_ms,
        contributions=[
            Contribution(
                component.custodian.strip(), component.check_value.hex().upper(), component.entered_ms
            )
            for component in components
        ],
        witnesses=[name.strip() for name in witnesses],
    )


def check_witnesses(witnesses: list[str], custodians: list[str]) -> None:
    """Refuse a ceremony that nobody but its custodians saw."""
    names = [folded_name(name) for name in witnesses]
    if not names or not all(1 <= len(name) <= MAX_NAME_CHARACTERS for name in names):
        raise CeremonyRefused("A ceremony has a witness, by name, who brings no component.")
    if len(set(names)) != len(names):
        raise CeremonyRefused("A witness stands in the record once.")
    if set(names) & {folded_name(name) for name in custodians}:
        raise CeremonyRefused("A custodian is no witness: somebody else must see what was done.")


def record_text(record: CeremonyRecord) -> str:
    """The record for paper, with a line for every signature."""
    lines = [
        "Vafa key ceremony",
        "",
        f"Key            {record.key}, {record.key_bits} bits",
        f"Check value    {record.key_check_value}",
        f"Kept in        {record.store}",
        f"Begun          {_time(record.started_ms)}",
        f"Ended          {_time(record.finished_ms)}",
        "",
        "Components",
    ]
    for number, part in enumerate(record.contributions, start=1):
        lines += [
            f"  {number}. {part.custodian}",
            f"     check value {part.check_value}, entered {_time(part.entered_ms)}",
            "     signature   ______________________________",
        ]
    lines += ["", "Witnesses"]
    for name in record.witnesses:
        lines += [f"  {name}", "     signature   ______________________________"]
    lines += [
        "",
        "We saw that each component was entered by its custodian alone, and that nobody saw another's.",
        "Check values are the first 5 bytes of the AES-CMAC of 16 zero bytes.",
        f"SHA-256 of the record's file: {record.digest}",
        "",
    ]
    return "\n".join(lines)


def _time(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
