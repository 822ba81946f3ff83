"""The installation as it was set up: secrets, certificates, whether they belong together."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from node.cli.diagnosis.finding import Finding, ok, warn, wrong
from node.config import Config
from node.identity.caller import CallerRefused, Role, caller_from_certificate
from node.identity.keys import KeyUnusable, NodeSecrets, load_secrets, read_secret

ADMIN_WARN_DAYS = 60
AUTHORITY_WARN_DAYS = 400
"""A terminal's certificate is issued for that long, and never beyond its authority's end."""

_NEW_ADMIN = "Run `vafa terminal admin`, which makes a new one."


def secrets_of(config: Config) -> tuple[NodeSecrets | None, list[Finding]]:
    """The node's secrets where they can be used, and what is to be said about them."""
    directory = config.secrets_directory
    try:
        secrets = load_secrets(directory)
    except KeyUnusable as unusable:
        todo = (
            "Mend it, or put the file back from where you keep it: members' data is sealed under these keys."
        )
        return None, [wrong("secrets", str(unusable), todo)]
    found = [ok("secrets", f"All keys are in {directory}, readable by their owner alone.")]
    if stat.S_IMODE(directory.stat().st_mode) & 0o077:
        found.append(
            warn("secrets", f"Other users can look into {directory}.", f"Run: chmod 700 {directory}")
        )
    return secrets, found


def certificates(home: Path, config: Config, secrets: NodeSecrets, now: datetime) -> Iterator[Finding]:
    """Whether authority and admin certificate are good, belong together, and for how long."""
    authority = secrets.authority.certificate
    yield _expiry(
        "authority", "The node's authority (ca.crt)", authority, now, AUTHORITY_WARN_DAYS, _NEW_AUTHORITY
    )
    try:
        shown = x509.load_pem_x509_certificate((home / "ca.crt").read_bytes())
        if shown != authority:
            yield wrong(
                "authority",
                f"{home / 'ca.crt'} is not the certificate of this node's authority.",
                f"Run: cp {config.secrets_directory / 'ca.crt'} {home / 'ca.crt'}",
            )
    except (OSError, ValueError):
        yield wrong(
            "authority",
            f"{home / 'ca.crt'} cannot be read.",
            f"Run: cp {config.secrets_directory / 'ca.crt'} {home / 'ca.crt'}",
        )
    yield from _admin(home, config, authority, now)


_NEW_AUTHORITY = "Plan a new installation of the authority: every terminal has to enrol again under it."


def _admin(home: Path, config: Config, authority: x509.Certificate, now: datetime) -> Iterator[Finding]:
    path = home / "admin.crt"
    try:
        pem = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(pem)
        key = load_pem_private_key(read_secret(path.with_suffix(".key")), password=None)
        certificate.verify_directly_issued_by(authority)
        caller = caller_from_certificate(pem)
    except KeyUnusable as unusable:
        yield wrong("admin certificate", str(unusable), _NEW_ADMIN)
        return
    except CallerRefused as refused:
        yield wrong("admin certificate", f"{path}: {refused}", _NEW_ADMIN)
        return
    except OSError as error:
        yield wrong("admin certificate", f"{path}: {error.strerror}.", _NEW_ADMIN)
        return
    except Exception:  # whatever X.509 can be: it is not ours
        yield wrong("admin certificate", f"{path} is not one of this node's authority.", _NEW_ADMIN)
        return
    if key.public_key() != certificate.public_key():
        yield wrong("admin certificate", f"{path} and admin.key do not belong together.", _NEW_ADMIN)
    elif (caller.merchant, caller.role) != (config.merchant.id, Role.ADMIN):
        yield wrong("admin certificate", f"{path} is for {caller.uri}.", _NEW_ADMIN)
    else:
        yield _expiry("admin certificate", str(path), certificate, now, ADMIN_WARN_DAYS, _NEW_ADMIN)


def _expiry(
    check: str, what: str, certificate: x509.Certificate, now: datetime, warn_days: int, todo: str
) -> Finding:
    ends = certificate.not_valid_after_utc
    days = (ends - now).days
    if now < certificate.not_valid_before_utc:
        return wrong(check, f"{what} is not valid yet: this machine's clock is behind.", "Set the clock.")
    if days < 0:
        return wrong(check, f"{what} has expired on {ends.date()}.", todo)
    if days < warn_days:
        return warn(check, f"{what} expires on {ends.date()}, in {days} days.", todo)
    return ok(check, f"{what} is good until {ends.date()}.")


def now_utc() -> datetime:
    """This moment."""
    return datetime.now(UTC)
