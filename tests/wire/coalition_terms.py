"""A sound directory of three merchants, to be published, changed and broken by tests."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from node.coalition.directory import (
    Cap,
    CoalitionPurse,
    Directory,
    IdentifierRange,
    Key,
    Partner,
    PartnerStatus,
    Rate,
    Window,
)
from node.identity.signers import Signer
from node.wire.coalition_directory import sign_directory
from tests.wire.coalition_parties import COALITION, NOW_MS, signer

DAY_MS = 86_400_000
OPERATOR = signer(40)


def partner(partner_id: str, seed: int, prefix: str, **other: Any) -> Partner:
    """A merchant whose members' cards begin with `prefix`."""
    found = Partner(
        partner_id,
        partner_id.title(),
        PartnerStatus.ACTIVE,
        keys=(Key(signer(seed).public_uri, NOW_MS - DAY_MS),),
        authority_pem=b"an authority",
        ranges=(IdentifierRange(1, prefix),),
        partitions=16,
    )
    return replace(found, **other)


SOUND = Directory(
    coalition_id=COALITION,
    version=1,
    publish_time_ms=NOW_MS,
    partners=(partner("nile", 1, "11"), partner("saffron", 2, "22"), partner("zagros", 3, "33")),
    purse=CoalitionPurse("coalition", (("en", "Points"), ("fa", "امتیاز"))),
    rates=(Rate(1, NOW_MS - DAY_MS, 900_000, 1_000_000, "IRR"),),
    windows=(Window(1, NOW_MS - DAY_MS, NOW_MS + DAY_MS), Window(2, NOW_MS + DAY_MS, NOW_MS + 2 * DAY_MS)),
    caps=(Cap("nile", "saffron", 10_000), Cap("saffron", "nile", 20_000)),
)


def next_version(directory: Directory = SOUND, **changes: Any) -> Directory:
    """The directory that follows, a minute later, with some changes."""
    later = replace(
        directory, version=directory.version + 1, publish_time_ms=directory.publish_time_ms + 60_000
    )
    return replace(later, **changes)


def published(directory: Directory = SOUND, by: Signer = OPERATOR) -> bytes:
    """A directory's bytes as they travel."""
    return sign_directory(directory, by).data
