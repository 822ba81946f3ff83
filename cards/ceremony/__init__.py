"""A key ceremony: a key that nobody knew, out of components that several people bring, and a record of it."""

from cards.ceremony.components import (
    MAX_COMPONENTS,
    MIN_COMPONENTS,
    CeremonyRefused,
    Component,
    combine,
    parse_component,
)
from cards.ceremony.record import CeremonyRecord, Contribution, record_of, record_text

__all__ = [
    "MAX_COMPONENTS",
    "MIN_COMPONENTS",
    "CeremonyRecord",
    "CeremonyRefused",
    "Component",
    "Contribution",
    "combine",
    "parse_component",
    "record_of",
    "record_text",
]
