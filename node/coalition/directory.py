"""The directory: who takes part in a coalition and on what terms, as the operator signed it.

One struct for each message of `directory.proto`, with the protos' field names; times are `<name>_ms`, 0
where absent. `directory_checks.py` says whether one is sound; here are the look-ups.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import IntEnum
from functools import cached_property

from msgspec import Struct

OPERATOR_ID = "operator"
"""What statements call the operator; no partner may be called so."""


class PartnerStatus(IntEnum):
    """Whether a partner takes part; the numbers are the protos'."""

    ACTIVE = 1
    SUSPENDED = 2
    LEFT = 3


class Funding(IntEnum):
    """How a partner stands in for what it owes; the numbers are the protos'."""

    UNSPECIFIED = 0
    POSTPAID = 1
    PREPAID = 2


class FeeSide(IntEnum):
    """Of which side's records a fee is taken; the numbers are the protos'."""

    UNSPECIFIED = 0
    HOME = 1
    ACQUIRER = 2


class Key(Struct, frozen=True):
    """A public key with the time in which it may sign: [not_before, not_after), 0 for without an end."""

    uri: str
    not_before_ms: int
    not_after_ms: int = 0

    def valid_at(self, at_ms: int) -> bool:
        """Whether it may sign at `at_ms`."""
        return self.not_before_ms <= at_ms and (not self.not_after_ms or at_ms < self.not_after_ms)


class PaymentAccount(Struct, frozen=True):
    """A bank account, as payment files name it."""

    holder: str = ""
    iban: str = ""
    other_id: str = ""
    bic: str = ""


class IdentifierRange(Struct, frozen=True):
    """Identifiers of one kind (`people.IdentifierKind`'s number) whose normal form begins with `prefix`."""

    kind: int
    prefix: str

    def overlaps(self, other: IdentifierRange) -> bool:
        """Whether some identifier lies in both."""
        return self.kind == other.kind and (
            self.prefix.startswith(other.prefix) or other.prefix.startswith(self.prefix)
        )


class Partner(Struct, frozen=True, dict=True):
    """One merchant's node."""

    partner_id: str
    name: str
    status: PartnerStatus
    endpoints: tuple[str, ...] = ()
    relay_partner_id: str = ""
    keys: tuple[Key, ...] = ()
    authority_pem: bytes = b""
    ranges: tuple[IdentifierRange, ...] = ()
    partitions: int = 0
    account: PaymentAccount | None = None
    funding: Funding = Funding.UNSPECIFIED
    from_window: int = 0
    last_window: int = 0
    sealing_key: str = ""

    def key(self, uri: str) -> Key | None:
        """The key of that URI, whatever its time; None where the partner has none."""
        return self._keys_by_uri.get(uri)

    @cached_property
    def _keys_by_uri(self) -> dict[str, Key]:
        return {key.uri: key for key in reversed(self.keys)}


class CoalitionPurse(Struct, frozen=True):
    """The one purse that is earned and spent abroad; `names` as (language, name), sorted."""

    code: str
    names: tuple[tuple[str, str], ...] = ()
    exponent: int = 0


class Rate(Struct, frozen=True):
    """What units are worth between merchants, in micro-units of `currency`."""

    version: int
    effective_time_ms: int
    accrual_micro: int
    redemption_micro: int
    currency: str


class Window(Struct, frozen=True):
    """A settlement window: postings from `open_time_ms` until before `cut_time_ms`, by the home node's
    clock.
    """

    number: int
    open_time_ms: int
    cut_time_ms: int


class Cap(Struct, frozen=True):
    """The most that `debtor_id` may owe `creditor_id`, net, in units of the coalition purse."""

    debtor_id: str
    creditor_id: str
    units: int


class ExchangeBounds(Struct, frozen=True):
    """Bounds of the exchange that both sides count by."""

    freshness_seconds: int = 300
    accrual_lateness_days: int = 30
    hold_seconds_max: int = 86_400
    window_skew_seconds: int = 300

    @property
    def freshness_ms(self) -> int:
        """How old or how far ahead a message's issue time may be, in milliseconds."""
        return self.freshness_seconds * 1000


class Fee(Struct, frozen=True):
    """What the operator takes of a partner in a window."""

    code: str
    partner_id: str = ""
    window_micro: int = 0
    record_micro: int = 0
    volume_ppm: int = 0
    side: FeeSide = FeeSide.UNSPECIFIED


class RestatedRate(Struct, frozen=True):
    """What a rate is worth in the settlement currency."""

    rate_version: int
    accrual_micro: int
    redemption_micro: int


class SettlementTerms(Struct, frozen=True):
    """How windows are settled, from `from_window` on."""

    from_window: int
    currency: str
    currency_exponent: int
    fees: tuple[Fee, ...] = ()
    restated_rates: tuple[RestatedRate, ...] = ()
    close_grace_seconds: int = 0
    agent_account: PaymentAccount | None = None
    prepaid_alert_percents: tuple[int, ...] = ()
    payment_due_seconds: int = 0


class OperatorNode(Struct, frozen=True):
    """Where the operator's own service is, and by which authority it shows itself."""

    endpoints: tuple[str, ...] = ()
    authority_pem: bytes = b""


class Directory(Struct, frozen=True, dict=True):
    """What the operator signs, and nothing else. What is looked up for every message is indexed once."""

    coalition_id: str
    version: int
    publish_time_ms: int
    partners: tuple[Partner, ...]
    purse: CoalitionPurse
    rates: tuple[Rate, ...] = ()
    windows: tuple[Window, ...] = ()
    caps: tuple[Cap, ...] = ()
    operator_keys: tuple[Key, ...] = ()
    bounds: ExchangeBounds = ExchangeBounds()
    settlement_terms: tuple[SettlementTerms, ...] = ()
    operator: OperatorNode | None = None

    def partner(self, partner_id: str) -> Partner | None:
        """The partner of that id, whatever its status."""
        return self._partners_by_id.get(partner_id)

    @cached_property
    def _partners_by_id(self) -> dict[str, Partner]:
        return {one.partner_id: one for one in reversed(self.partners)}

    def home_of(self, kind: int, form: str) -> Partner | None:
        """Whose member carries an identifier in normal form: the partner with the range, or None."""
        for partner in self.partners:
            for span in partner.ranges:
                if span.kind == kind and form.startswith(span.prefix):
                    return partner
        return None

    def rate_at(self, at_ms: int) -> Rate | None:
        """The rate in force at `at_ms`; None before the first."""
        at = bisect_right(self.rates, at_ms, key=lambda rate: rate.effective_time_ms)
        return self.rates[at - 1] if at else None

    def rate(self, version: int) -> Rate | None:
        """The rate of that version."""
        return next((rate for rate in self.rates if rate.version == version), None)

    def window_at(self, at_ms: int) -> Window | None:
        """The window in which a posting at `at_ms` falls; None outside the calendar."""
        at = bisect_right(self.windows, at_ms, key=lambda window: window.open_time_ms)
        window = self.windows[at - 1] if at else None
        return window if window and at_ms < window.cut_time_ms else None

    def window(self, number: int) -> Window | None:
        """The window of that number."""
        return next((window for window in self.windows if window.number == number), None)

    def cap(self, debtor_id: str, creditor_id: str) -> int:
        """The most that one may owe the other, in units; 0 where the operator set none."""
        return self._units_by_pair.get((debtor_id, creditor_id), 0)

    @cached_property
    def _units_by_pair(self) -> dict[tuple[str, str], int]:
        return {(cap.debtor_id, cap.creditor_id): cap.units for cap in self.caps}


def signer_key(directory: Directory, partner_id: str, uri: str, at_ms: int) -> Key | None:
    """The key with which the partner may have signed at `at_ms`; None where it may not.

    A key whose time is over still verifies what it signed while it was valid, also of a partner that left.
    """
    partner = directory.partner(partner_id)
    key = partner.key(uri) if partner else None
    return key if key and key.valid_at(at_ms) else None


def may_begin(directory: Directory, partner_id: str, *, spending: bool) -> bool:
    """Whether something new may begin with a partner; what is under way is finished whatever its status.

    A suspended partner's members still earn; nobody spends.
    """
    partner = directory.partner(partner_id)
    if partner is None or partner.status is PartnerStatus.LEFT:
        return False
    return partner.status is PartnerStatus.ACTIVE or not spending
