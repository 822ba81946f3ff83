"""What a card printer gets: a CSV, or a PDF with one page a card. The PDF needs the extra `print`."""

from cards.printing.faces import Face, PrintRefused, faces_csv, faces_of
from cards.printing.pdf import PrintingMissing, faces_pdf

__all__ = ["Face", "PrintRefused", "PrintingMissing", "faces_csv", "faces_of", "faces_pdf"]
