"""What a load's simulated tills need to know: `bench.load_run` writes it, `bench.locustfile` reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import msgspec

from simulators.enrolment import TillCertificate

MANIFEST_VARIABLE = "VAFA_LOAD_MANIFEST"
"""The environment variable that names the manifest's file."""


class LoadManifest(msgspec.Struct, frozen=True):
    """The node, where the certificates lie, and who shops where."""

    address: str
    """host:port of the node."""
    certificates: Path
    """A directory with ca.crt, and till-N.crt and till-N.key for N in 0 … tills-1."""
    tills: int
    members_per_till: int
    """Till N alone serves the members from N × this on: nobody else spends their points meanwhile."""
    currency: str
    calls_per_till: int | None = None
    """A till makes so many calls and no more, and the load ends with the last; None: time alone ends it."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """As it was written."""
        return msgspec.json.decode(path.read_bytes(), type=cls, dec_hook=lambda kind, text: kind(text))

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_bytes(msgspec.json.encode(self, enc_hook=str))

    def keep_certificate(self, number: int, certificate: TillCertificate) -> None:
        """Put the certificate of till `number` where `certificate` finds it."""
        (self.certificates / "ca.crt").write_bytes(certificate.authority_pem)
        (self.certificates / f"till-{number}.crt").write_bytes(certificate.certificate_pem)
        (self.certificates / f"till-{number}.key").write_bytes(certificate.key_pem)

    def certificate(self, number: int) -> TillCertificate:
        """The certificate of till `number`."""
        return TillCertificate(
            (self.certificates / "ca.crt").read_bytes(),
            (self.certificates / f"till-{number}.crt").read_bytes(),
            (self.certificates / f"till-{number}.key").read_bytes(),
        )
