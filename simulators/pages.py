"""Tables in pages, each between two marks: a command draws it, and nobody edits it by hand."""

from __future__ import annotations


def placed(page: str, name: str, table: str) -> str:
    """A page with the table between the marks of that name; raises ValueError where it has none."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the page has no {begin} … {end}")
    return f"{before}{begin}\n{table}\n{end}{after}"
