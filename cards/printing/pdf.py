"""The PDF: one page of a card's size (ISO/IEC 7810 ID-1) for each face.

Persian and Arabic names are joined and ordered by HarfBuzz through fpdf2, which embeds the font's glyphs. The
libraries are imported when they are needed: the base install has none of them.
"""

from __future__ import annotations

import importlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cards.jobs.manifest import Code
from cards.printing.faces import Face, PrintRefused

MAX_PAGES = 10_000
"""Of one file; a printer is fed in runs anyway."""
WIDTH_MM, HEIGHT_MM = 85.60, 53.98
_MARGIN_MM = 5.0
_QR_MM, _BARS_MM, _BARS_HEIGHT_MM = 20.0, 60.0, 11.0
_TITLE_PT, _NAME_PT, _NUMBER_PT, _LEAST_PT = 11.0, 12.0, 13.0, 6.0
_FONTS = (
    "/usr/share/fonts/truetype/vazirmatn/Vazirmatn-Regular.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
)


class PrintingMissing(PrintRefused):
    """A library or font that the PDF needs is not here."""


def faces_pdf(faces: Sequence[Face], font: Path | None = None) -> bytes:
    """The file. `font` is a TrueType or OpenType file with the scripts of the names; without it, Vazirmatn or
    DejaVu Sans where the system has them.

    `PrintingMissing` says what to install; `PrintRefused` names a character that the font has not.
    """
    if len(faces) > MAX_PAGES:
        raise PrintRefused(f"A file has at most {MAX_PAGES} pages. Print the batch in parts.")
    return bytes(document(faces, font).output())


def document(faces: Sequence[Face], font: Path | None) -> Any:
    """The pages before they are written."""
    fpdf, _ = _library("fpdf"), _library("uharfbuzz")
    chosen = font or next((Path(path) for path in _FONTS if Path(path).exists()), None)
    if chosen is None or not chosen.exists():
        raise PrintingMissing(
            "No font was found. Name one with the scripts of the names (--font FILE), or on Debian:"
            " apt-get install fonts-dejavu-core."
        )
    pdf = fpdf.FPDF(unit="mm", format=(WIDTH_MM, HEIGHT_MM))
    pdf.set_auto_page_break(False)
    pdf.set_margin(0)
    pdf.add_font("face", fname=str(chosen))
    pdf.set_text_shaping(True)
    for face in faces:
        _check_glyphs(pdf, face, chosen)
        _page(pdf, face)
    return pdf


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise PrintingMissing("A PDF needs libraries of its own: pip install 'vafa[print]'.") from None


def _check_glyphs(pdf: Any, face: Face, font: Path) -> None:
    pdf.set_font("face", size=_NAME_PT)
    cmap = pdf.current_font.cmap
    for character in face.name + face.title:
        # Joiners and marks of direction have no shape of their own.
        if ord(character) not in cmap and character.isprintable():
            raise PrintRefused(
                f"Card {face.number}: {font.name} has no {character!r}. Name another font (--font FILE)."
            )


def _page(pdf: Any, face: Face) -> None:
    pdf.add_page()
    _line(pdf, face.title, _MARGIN_MM, _TITLE_PT)
    if face.code is Code.QR:
        _qr(pdf, face.number)
    elif face.code is Code.BARCODE:
        _bars(pdf, face.number)
    below = HEIGHT_MM - _MARGIN_MM
    _line(pdf, face.name, below - 13, _NAME_PT)
    _line(pdf, face.shown_number, below - 6, _NUMBER_PT)


def _line(pdf: Any, text: str, top_mm: float, size_pt: float) -> None:
    """One line between the margins, smaller where it must be; what does not fit even so is cut off."""
    if not text:
        return
    room = WIDTH_MM - 2 * _MARGIN_MM
    pdf.set_font("face", size=size_pt)
    while pdf.get_string_width(text) > room and size_pt > _LEAST_PT:
        size_pt -= 0.5
        pdf.set_font("face", size=size_pt)
    while pdf.get_string_width(text) > room:
        text = text[:-1]
    pdf.set_xy(_MARGIN_MM, top_mm)
    pdf.cell(room, 6, text, align="R" if _runs_left(text) else "L")


def _runs_left(text: str) -> bool:
    """Whether the first letter that has a direction is Arabic, Persian or the like."""
    strong = (unicodedata.bidirectional(character) for character in text)
    return next((kind for kind in strong if kind in ("L", "R", "AL")), "L") != "L"


def _qr(pdf: Any, number: str) -> None:
    code = _library("segno").make(number, error="m", micro=False)
    rows = [list(row) for row in code.matrix]
    quiet = 4
    module = _QR_MM / (len(rows) + 2 * quiet)
    left, top = WIDTH_MM - _MARGIN_MM - _QR_MM, 12.0
    for down, row in enumerate(rows):
        for across, dark in enumerate(row):
            if dark:
                x, y = left + (across + quiet) * module, top + (down + quiet) * module
                pdf.rect(x, y, module, module, style="F")


def _bars(pdf: Any, number: str) -> None:
    barcode = _library("barcode")
    (bars,) = barcode.get("code128", number).build()
    module = _BARS_MM / len(bars)
    for at, bar in enumerate(bars):
        if bar == "1":
            pdf.rect(_MARGIN_MM + at * module, 16, module, _BARS_HEIGHT_MM, style="F")
