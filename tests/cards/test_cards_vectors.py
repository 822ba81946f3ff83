from collections import Counter
from pathlib import Path

import pytest

from tests.cards.card_vectors import EXERCISED, all_vectors


def test_every_vector_is_of_a_kind_that_some_test_takes() -> None:
    if not all_vectors():
        pytest.skip("the known-answer vectors are not here")
    assert len(all_vectors()) >= 29
    assert Counter(entry["kind"] for entry in all_vectors()).keys() == EXERCISED.keys()
    for kind, module in EXERCISED.items():
        source = (Path(__file__).parent / f"{module}.py").read_text("utf-8")
        assert f'vectors("{kind}")' in source
