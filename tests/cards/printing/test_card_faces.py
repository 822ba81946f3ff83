"""What a card printer gets: names as people write them, joined and ordered, and codes that scan."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from cards.jobs.manifest import Code
from cards.printing import Face, PrintingMissing, PrintRefused, faces_csv, faces_of, faces_pdf
from cards.printing.pdf import document
from tests.cards.bureau import NTAG
from tests.cards.jobs.batch import FIRST, manifest_text, signed_job

NAME = "مریم احمدی‌نژاد"


def face(name: str = NAME, title: str = "باشگاه زعفران", code: Code = Code.QR) -> Face:
    return Face(FIRST, name, title, code)


@pytest.fixture
def pdf_libraries() -> None:
    pytest.importorskip("fpdf", reason="the extra `print` is not installed")
    pytest.importorskip("uharfbuzz", reason="the extra `print` is not installed")
    try:
        faces_pdf([])
    except PrintingMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have a font: {missing}")
        pytest.skip(str(missing))


def test_a_face_has_the_number_name_and_code_of_the_job(tmp_path: Path) -> None:
    raw = f"number,account,name\n{FIRST},, {NAME}  \n".encode()
    (tmp_path / "members.csv").write_bytes(raw)
    more = '[print]\ntitle = "Saffron"\ncode = "barcode"\n[members]\nfile = "members.csv"\n'
    more += f'sha256 = "{hashlib.sha256(raw).hexdigest()}"\n'
    job = signed_job(tmp_path, manifest_text(NTAG, more, cards=2))

    one, two = faces_of(job, [FIRST, "6104000000018"])
    assert (one.name, one.title, one.code) == (NAME, "Saffron", Code.BARCODE)
    assert one.shown_number == "6104 0000 0001 7"
    assert two.name == ""
    with pytest.raises(PrintRefused, match="no number of job"):
        faces_of(job, ["6104000000099"])


def test_the_csv_reads_back_as_it_was_written() -> None:
    raw = faces_csv([face(), face(name='O"Neil, محمد', code=Code.NONE)])
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    assert [row["name"] for row in rows] == [NAME, 'O"Neil, محمد']
    assert [row["code_text"] for row in rows] == [FIRST, ""]


def test_a_name_that_a_spreadsheet_would_run_is_refused() -> None:
    with pytest.raises(PrintRefused, match="cannot begin"):
        faces_csv([face(name="=HYPERLINK(1)")])


@pytest.mark.usefixtures("pdf_libraries")
def test_persian_letters_stand_joined_on_the_face() -> None:
    """By the forms of the letters that the PDF embeds: initial, medial and final, not the isolated ones."""
    pdf = document([face(name="مریم", title="")], None)
    names = {glyph.glyph_name for glyph in pdf.fonts["face"].subset._char_id_per_glyph}
    joined = {unicodedata.lookup(f"ARABIC LETTER {form}") for form in (
        "MEEM INITIAL FORM", "REH FINAL FORM", "FARSI YEH INITIAL FORM", "MEEM FINAL FORM",
    )}  # fmt: skip
    assert {f"uni{ord(letter):04X}" for letter in joined} <= names
    assert "uni0645" not in names, "an isolated meem"


@pytest.mark.usefixtures("pdf_libraries")
@pytest.mark.parametrize("code", Code)
def test_every_layout_makes_one_page_a_card(code: Code) -> None:
    pdf = document([face(code=code), face(name="M" * 200, title="", code=code), face("", "", code)], None)
    assert pdf.pages_count == 3
    assert bytes(pdf.output()).startswith(b"%PDF-")


@pytest.mark.usefixtures("pdf_libraries")
def test_a_character_that_the_font_has_not_is_named() -> None:
    with pytest.raises(PrintRefused, match=r"has no '漢'.*--font"):
        faces_pdf([face(name="漢")])


def test_without_the_libraries_the_words_say_what_to_install() -> None:
    program = (
        "import sys; sys.modules['fpdf'] = None\n"
        "from cards.printing import PrintingMissing, faces_csv, faces_pdf\n"
        "faces_csv([])\n"
        "try:\n    faces_pdf([])\n"
        "except PrintingMissing as missing:\n    print(missing)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "vafa[print]" in said.stdout
