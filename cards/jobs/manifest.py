"""What a batch of cards shall be: JOB.toml, signed by whoever ordered it.

The signature stands beside it in JOB.toml.sig, one line: the signer's public key and the signature, over the
file's exact bytes. A list of members, if there is one, is bound by its SHA-256 in the manifest.
"""

from __future__ import annotations

import csv
import hashlib
import io
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from cards.keys import MAX_KEY_VERSION, CardProfile
from cards.profiles.address import check_base
from node.identity.signers import SignatureBroken, Signer, verifier_from_uri

PAYLOAD_TYPE = "application/vnd.vafa.card-job"
MAX_MANIFEST_BYTES = 64 * 1024
MAX_MEMBERS_BYTES = 64 * 1024 * 1024
MAX_CARDS = 100_000
"""Of one job. Larger orders are several jobs, so that a book stays readable in seconds."""
_MEMBER_COLUMNS = ("number", "account", "name")

_Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
_Number = Annotated[str, Meta(pattern=r"^[0-9]{4,16}$")]
_Version = Annotated[int, Meta(ge=1, le=MAX_KEY_VERSION)]


class JobRefused(Exception):
    """A job that must not be run, and why. No card was touched."""


class Action(StrEnum):
    """What becomes of the cards."""

    PERSONALISE = "personalise"
    """Blank cards become members' cards."""
    ROTATE = "rotate"
    """Members' cards of the version before get the keys of this one; number and content stay."""


class Accounts(StrEnum):
    """What a finished card is linked to at the node."""

    NONE = "none"
    """To nothing: the node is told later, by other means."""
    PERSONAL = "personal"
    """To the account that the list of members names; where it names none, to a new personal one."""
    BEARER = "bearer"
    """To a new account of whoever bears it, such as a gift card's."""


class Code(StrEnum):
    """What is printed for a scanner."""

    QR = "qr"
    BARCODE = "barcode"
    """Code 128."""
    NONE = "none"


class KeysWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The issuer keys' version that the cards shall hold; and for a rotation, the one they hold."""

    version: _Version
    from_version: _Version | None = None


class Enrolment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which accounts, at which node (`host:port`; empty for the one of the configuration)."""

    accounts: Accounts = Accounts.NONE
    node: str = ""


class Print(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The card's face: a title, the code, and whether the member's name stands there."""

    title: Annotated[str, Meta(max_length=40)] = ""
    code: Code = Code.QR
    names: bool = True


class Members(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A CSV file beside the manifest, with the columns number, account and name, and its SHA-256 in hex."""

    file: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One job. Numbers are `first_number` and those after it, all of its width."""

    job: _Name
    profile: str
    issuer: _Name
    count: Annotated[int, Meta(ge=1, le=MAX_CARDS)]
    first_number: _Number
    keys: KeysWanted
    action: Action = Action.PERSONALISE
    address_base: str = ""
    """For NTAG 424 DNA: the https address before the parameters of a tap."""
    enrolment: Enrolment = Enrolment()
    print: Print = Print()
    members: Members | None = None

    @property
    def card_profile(self) -> CardProfile:
        """The kind of card."""
        return CardProfile[self.profile.upper()]

    def number(self, place: int) -> str:
        """The number at a place of the batch, counted from 0."""
        return str(int(self.first_number) + place).zfill(len(self.first_number))

    def holds(self, number: str) -> bool:
        """Whether a number belongs to the batch."""
        if len(number) != len(self.first_number) or not number.isascii() or not number.isdigit():
            return False
        return 0 <= int(number) - int(self.first_number) < self.count


@dataclass(frozen=True, slots=True)
class Member:
    """One row of the list of members."""

    account: str
    name: str


@dataclass(frozen=True, slots=True)
class SignedJob:
    """A manifest whose signature holds, with the digest that all its journals begin from."""

    manifest: Manifest
    digest: bytes
    signer: str
    members: dict[str, Member]


def load_manifest(raw: bytes) -> Manifest:
    """Read a manifest's bytes; `JobRefused` says what is wrong in which place."""
    if len(raw) > MAX_MANIFEST_BYTES:
        raise JobRefused("The manifest is too long to be one.")
    try:
        manifest = msgspec.convert(tomllib.loads(raw.decode("utf-8")), Manifest)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as wrong:
        raise JobRefused(f"The manifest cannot be used: {wrong}. No card was touched.") from None
    _check(manifest)
    return manifest


def _check(manifest: Manifest) -> None:
    kinds = [profile.name.lower() for profile in CardProfile]
    if manifest.profile not in kinds:
        raise JobRefused(f"profile = {manifest.profile!r} is no kind of card. Known: {', '.join(kinds)}.")
    if len(manifest.number(manifest.count - 1)) != len(manifest.first_number):
        raise JobRefused("The numbers of the batch do not fit into the width of first_number.")
    if manifest.card_profile is CardProfile.NTAG424:
        try:
            check_base(manifest.address_base)
        except ValueError as wrong:
            raise JobRefused(f"address_base: {wrong}.") from None
    elif manifest.address_base:
        raise JobRefused("address_base is for NTAG 424 DNA; other cards do not tap.")
    rotates, old = manifest.action is Action.ROTATE, manifest.keys.from_version
    if rotates != (old is not None) or (old is not None and old >= manifest.keys.version):
        raise JobRefused("keys.from_version is for a rotation, which goes from it to a higher version.")


def signature_path(path: Path) -> Path:
    """Where the signature of a manifest stands."""
    return path.with_name(path.name + ".sig")


def sign_manifest(path: Path, signer: Signer) -> Path:
    """Sign a manifest that can be used, and write the signature beside it; gives the signature's path."""
    raw = path.read_bytes()
    _members(path, load_manifest(raw))
    beside = signature_path(path)
    beside.write_text(f"{signer.public_uri} {signer.sign(PAYLOAD_TYPE, raw).hex()}\n", encoding="ascii")
    return beside


def read_signed(path: Path, trusted: str) -> SignedJob:
    """The manifest at `path`, signed by the key `trusted` (`ed25519:…`); `JobRefused` otherwise."""
    raw = path.read_bytes()
    try:
        signer, _, signature = signature_path(path).read_text("ascii").strip().partition(" ")
        if signer != trusted:
            raise JobRefused(f"{path} is signed by {signer}, which is not the trusted key {trusted}.")
        verifier_from_uri(trusted).verify(PAYLOAD_TYPE, raw, bytes.fromhex(signature))
    except FileNotFoundError:
        raise JobRefused(f"{path} is not signed. Whoever ordered it signs it: vafa cards sign.") from None
    except (SignatureBroken, ValueError):
        raise JobRefused(
            f"{path} was changed after it was signed, or its signature is damaged. Ask for it anew."
        ) from None
    manifest = load_manifest(raw)
    return SignedJob(manifest, hashlib.sha256(raw).digest(), signer, _members(path, manifest))


def _members(path: Path, manifest: Manifest) -> dict[str, Member]:
    if manifest.members is None:
        return {}
    beside = path.with_name(manifest.members.file)
    try:
        raw = beside.read_bytes()
    except OSError as wrong:
        raise JobRefused(f"{beside}: the list of members cannot be read ({wrong.strerror}).") from None
    if len(raw) > MAX_MEMBERS_BYTES or hashlib.sha256(raw).hexdigest() != manifest.members.sha256:
        raise JobRefused(f"{beside} is not the list of members that the manifest names by its SHA-256.")
    try:
        rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise JobRefused(f"{beside} is no CSV in UTF-8.") from None
    found: dict[str, Member] = {}
    for line, row in enumerate(rows, start=2):
        if set(row) != set(_MEMBER_COLUMNS) or None in row.values():
            raise JobRefused(f"{beside}, line {line}: the columns are {', '.join(_MEMBER_COLUMNS)}.")
        number = row["number"].strip()
        if not manifest.holds(number) or number in found:
            raise JobRefused(f"{beside}, line {line}: number {number} is not of this batch, or is twice.")
        found[number] = Member(row["account"].strip(), row["name"].strip())
    return found
