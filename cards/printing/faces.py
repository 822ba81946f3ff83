"""What stands on a card's face, and the CSV of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

from cards.jobs.manifest import Code, SignedJob
from node.people.text import DIGITS_TO_ASCII

COLUMNS = ("number", "name", "title", "code", "code_text")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class PrintRefused(Exception):
    """What cannot be printed, and what to do about it. No file was written."""


@dataclass(frozen=True, slots=True)
class Face:
    """One card's face. The code holds the number: what a scanner reads is what a till looks up."""

    number: str
    name: str
    title: str
    code: Code

    @property
    def shown_number(self) -> str:
        """The number in groups of four, counted from the left."""
        return " ".join(self.number[at : at + 4] for at in range(0, len(self.number), 4))


def faces_of(job: SignedJob, numbers: Iterable[str]) -> list[Face]:
    """The faces of some numbers of a job, in their order; `PrintRefused` for a number of another job."""
    layout = job.manifest.print
    faces = []
    for number in numbers:
        if not job.manifest.holds(number):
            raise PrintRefused(f"{number} is no number of job {job.manifest.job}.")
        member = job.members.get(number) if layout.names else None
        name = " ".join(member.name.split()) if member else ""
        faces.append(Face(number, name, layout.title, layout.code))
    return faces


def faces_csv(faces: Iterable[Face]) -> bytes:
    """UTF-8 with a byte order mark, which spreadsheets need for Persian names, and CRLF (RFC 4180).

    A name that a spreadsheet would take for a formula is refused: nobody is called so.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for face in faces:
        for text in (face.name, face.title):
            if text.translate(DIGITS_TO_ASCII).startswith(_FORMULA):
                raise PrintRefused(f"Card {face.number}: a name or title cannot begin with {text[0]!r}.")
        code_text = face.number if face.code is not Code.NONE else ""
        writer.writerow((face.number, face.name, face.title, face.code.value, code_text))
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8")
