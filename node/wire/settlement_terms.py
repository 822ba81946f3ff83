"""How windows are settled, as the operator writes it in the file of a coalition's terms."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from node.coalition.directory import Fee, FeeSide, PaymentAccount, RestatedRate, SettlementTerms
from node.config import SLUG_PATTERN

Slug = Annotated[str, Meta(pattern=rf"^{SLUG_PATTERN}\Z")]
Micro = Annotated[int, Meta(ge=0, le=10**18)]


class _Section(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class AccountSection(_Section, frozen=True):
    """A bank account: `holder` and `iban`, or `holder` and `other_id`."""

    holder: Annotated[str, Meta(min_length=1, max_length=120)]
    iban: Annotated[str, Meta(max_length=42)] = ""
    other_id: Annotated[str, Meta(max_length=34)] = ""
    bic: Annotated[str, Meta(pattern="^([A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?)?$")] = ""

    def account(self) -> PaymentAccount:
        """As the directory has it."""
        return PaymentAccount(self.holder, self.iban, self.other_id, self.bic)


class FeeSection(_Section, frozen=True):
    """[[settlement.fees]]"""

    code: Slug
    partner: Annotated[str, Meta(pattern=rf"^({SLUG_PATTERN})?\Z")] = ""
    window_micro: Micro = 0
    record_micro: Micro = 0
    volume_ppm: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    side: Literal["home", "acquirer"] = "acquirer"


class RateSection(_Section, frozen=True):
    """[[settlement.restated_rates]]"""

    rate_version: Annotated[int, Meta(ge=1)]
    accrual_micro: Micro
    redemption_micro: Micro


class SettlementSection(_Section, frozen=True):
    """[[settlement]]: how windows are settled, from one on."""

    from_window: Annotated[int, Meta(ge=1)]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    currency_exponent: Annotated[int, Meta(ge=0, le=6)]
    close_grace_seconds: Annotated[int, Meta(ge=0, le=30 * 86_400)] = 86_400
    fees: tuple[FeeSection, ...] = ()
    restated_rates: tuple[RateSection, ...] = ()
    agent_account: AccountSection | None = None
    prepaid_alert_percents: tuple[Annotated[int, Meta(ge=1, le=99)], ...] = (50, 20, 5)
    payment_due_seconds: Annotated[int, Meta(ge=0, le=365 * 86_400)] = 7 * 86_400

    def terms(self) -> SettlementTerms:
        """As the directory has it."""
        return SettlementTerms(
            self.from_window,
            self.currency,
            self.currency_exponent,
            tuple(
                Fee(
                    fee.code,
                    fee.partner,
                    fee.window_micro,
                    fee.record_micro,
                    fee.volume_ppm,
                    FeeSide[fee.side.upper()],
                )
                for fee in self.fees
            ),
            tuple(
                RestatedRate(rate.rate_version, rate.accrual_micro, rate.redemption_micro)
                for rate in self.restated_rates
            ),
            self.close_grace_seconds,
            self.agent_account.account() if self.agent_account else None,
            tuple(sorted(set(self.prepaid_alert_percents), reverse=True)),
            self.payment_due_seconds,
        )


class OperatorSection(_Section, frozen=True):
    """[operator]: where partners reach the operator's service."""

    listen: str = ""
    endpoints: tuple[str, ...] = ()


SETTLEMENT_TEMPLATE = """
# How settlement windows are settled, from a window on; add another table to change it from a later one.
[[settlement]]
from_window = 1
# The one currency in which everything is paid, ISO 4217, and its decimal places: of the rial 0 or 2.
currency = {currency}
currency_exponent = {exponent}
# How long after the cut both sides have to sign, in seconds, before one may hand in alone what both had
# signed.
close_grace_seconds = 86400
# How long after a statement its payments are due, in seconds; who has not paid then may be declared in
# default.
payment_due_seconds = 604800
# Of a prepaid partner's balance after its newest top-up, in percent: where it is warned.
prepaid_alert_percents = [50, 20, 5]
# What the operator takes: fixed for a window, for each record, and in millionths of the volume on one side.
# [[settlement.fees]]
# code = "commission"
# window_micro = 0
# record_micro = 0
# volume_ppm = 5000
# side = "acquirer"
# An account by which all pay and are paid; without it the largest debtor pays the largest creditor, and so
# on.
# [settlement.agent_account]
# holder = "Settlement agent"
# iban = "IR..."

# Where the operator's service listens, and where partners reach it (host:port); see `vafa operator run`.
# [operator]
# listen = "0.0.0.0:7450"
# endpoints = ["settlement.example.org:7450"]
"""
"""What `vafa operator init` appends to the terms."""

PARTNER_HINTS = """\
# Where it is paid, for the bank's files; other_id = "account number" where there is no IBAN.
# account = { holder = "...", iban = "IR..." }
# It pays ahead: funding = "prepaid". It leaves after a window: last_window = 12.
"""
"""What `vafa operator admit` leaves in a partner's section for whoever edits it."""
