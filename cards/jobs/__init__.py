"""A bureau's jobs: a signed manifest, a journal for each card, and the runner that makes one card after
another.

The reader, the key store and the node are injected (`Place`, `IssuerKeys`, `Enroller`), so that nothing here
knows PC/SC, gRPC or a virtual card.
"""

from cards.jobs.audit import Audit, audit_job
from cards.jobs.book import JobBook
from cards.jobs.enrolment import CardEnrolment, Enroller, EnrolmentPostponed, EnrolmentRefused
from cards.jobs.journal import JournalBroken, JournalInUse
from cards.jobs.manifest import JobRefused, Manifest, load_manifest, read_signed, sign_manifest
from cards.jobs.recipes import RECIPES, IssuerKeys
from cards.jobs.runner import CardOutcome, Place, Result, Runner

__all__ = [
    "RECIPES",
    "Audit",
    "CardEnrolment",
    "CardOutcome",
    "Enroller",
    "EnrolmentPostponed",
    "EnrolmentRefused",
    "IssuerKeys",
    "JobBook",
    "JobRefused",
    "JournalBroken",
    "JournalInUse",
    "Manifest",
    "Place",
    "Result",
    "Runner",
    "audit_job",
    "load_manifest",
    "read_signed",
    "sign_manifest",
]
