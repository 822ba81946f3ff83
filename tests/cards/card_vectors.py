"""The known-answer vectors of the public documents, read where they lie beside the repository, never
copied."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cards.crypto import CardKey

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
VECTORS = Path(os.environ.get("VAFA_SHARED_DATA", _BESIDE)).parent / "cards" / "vectors.json"

Vector = dict[str, Any]

EXERCISED = {
    "an10922": "test_cards_crypto",
    "cmac_subkeys": "test_cards_crypto",
    "ntag424_originality_ecdsa_p224": "test_cards_crypto",
    "scp03_session": "test_cards_scp03",
    "kcv_aes_01": "test_cards_keys",
    "ev2_first": "test_cards_ev2",
    "ev2_session_keys": "test_cards_ev2",
    "ev2_mac": "test_cards_ev2",
    "ev2_iv_cmd": "test_cards_ev2",
    "ev2_full_command": "test_cards_ev2",
    "ev2_mac_command": "test_cards_ev2",
    "ev2_change_key": "test_cards_ev2",
    "tmac_session_keys": "test_cards_ev2",
    "sdm_encrypted_picc": "test_cards_sun",
    "sdm_plain": "test_cards_sun",
    "sdm_session_keys": "test_cards_sun",
}
"""Each kind of vector, and the module whose tests take all of that kind."""


def all_vectors() -> list[Vector]:
    """Every vector of the file; none where it is absent."""
    return list(json.loads(VECTORS.read_text("utf-8"))["vectors"]) if VECTORS.exists() else []


def vectors(kind: str) -> list[Any]:
    """The vectors of one kind as parameters of a test, or one that skips and says why."""
    found = [pytest.param(entry, id=entry["id"]) for entry in all_vectors() if entry["kind"] == kind]
    absent = pytest.mark.skip(reason=f"the known-answer vectors are not here: {VECTORS.name} in shared/cards")
    return found or [pytest.param({}, marks=absent, id="absent")]


def given(vector: Vector, name: str) -> bytes:
    """An input of a vector, from hex."""
    return bytes.fromhex(vector["input"][name])


def expected(vector: Vector, name: str) -> bytes:
    """An expected value of a vector, from hex."""
    return bytes.fromhex(vector["expected"][name])


def key(vector: Vector, name: str) -> CardKey:
    """An input key of a vector."""
    return CardKey(given(vector, name))
