"""Telling the node of a finished card: which number is linked, and what its chip holds."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from cards.jobs.manifest import Accounts
from cards.keys import CardIdentity


class EnrolmentPostponed(Exception):
    """The node could not be reached, or did not say whether it did it. The same request is made again."""


class EnrolmentRefused(Exception):
    """The node said no, and why. The card stays accepted and unfinished until that is mended."""


@dataclass(frozen=True, slots=True)
class CardEnrolment:
    """One request. With the same id and time it takes effect once, however often it is made."""

    request_id: str
    occurred_ms: int
    identity: CardIdentity
    key_version: int
    """Of the verification keys."""
    accounts: Accounts
    account: str
    """The account to link it to; empty for a new one."""
    renewed: bool
    """Whether the card is enrolled already, and only its keys are new."""


class Enroller(Protocol):
    """The node, as a bureau sees it."""

    def enrol(self, card: CardEnrolment) -> str:
        """Make it so, and give the account's id; `EnrolmentPostponed` or `EnrolmentRefused` otherwise."""
        ...


def request_id(job_digest: bytes, number: str, uid: str) -> str:
    """The id of the request for one card of one job, the same however often the job is resumed."""
    return "card-" + sha256(job_digest + f"{number} {uid}".encode()).hexdigest()[:40]
