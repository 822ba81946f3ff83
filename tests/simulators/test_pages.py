"""A command draws its table into a page, and touches nothing else there."""

from __future__ import annotations

import pytest

from simulators.pages import placed


def test_the_table_is_placed_between_its_marks_and_nothing_else_changes() -> None:
    for old in ("", "old\n"):
        page = f"before\n<!-- model -->\n{old}<!-- /model -->\nafter\n"
        assert placed(page, "model", "new") == "before\n<!-- model -->\nnew\n<!-- /model -->\nafter\n"


@pytest.mark.parametrize(
    "page", ["before\nafter\n", "<!-- mutants -->\n<!-- /mutants -->\n", "<!-- model -->\n"]
)
def test_a_page_without_the_marks_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="the page has no <!-- model -->"):
        placed(page, "model", "new")
