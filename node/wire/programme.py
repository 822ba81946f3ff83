"""A programme between its public form (`vafa.programme.v1.Programme`) and the domain's.

What the public form can say and the domain cannot (an enum of no meaning, a rule that does nothing) becomes a
problem with its path, as does everything that `node.programme.validate` finds.
"""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from node.ledger.days import MAX_MS
from node.ledger.purses import PurseDefinition, PurseKind, RedemptionRate, SpentReturnPolicy
from node.programme.model import (
    ActivityRule,
    AfterDays,
    EarningRule,
    Exclusion,
    Expiry,
    Fixed,
    Grant,
    Limits,
    LineSelector,
    MonthsEnd,
    Multiplier,
    OnDate,
    Programme,
    ProofKind,
    ProofLimit,
    PurseTerms,
    Rate,
    ReceiptText,
    Rounding,
    TimeWindow,
)
from node.programme.problems import Problem
from node.programme.validate import validate
from node.proto.vafa.common.v1 import balance_pb2
from node.proto.vafa.programme.v1 import programme_pb2 as pb


def programme_from_proto(message: pb.Programme, author: str = "") -> Programme | tuple[Problem, ...]:
    """The programme that a message describes, or everything that is wrong with it.

    What is left unsaid gets its meaning here: no rounding rounds down, no policy lets balances go negative,
    no effective time is 0. `author` is who publishes it.
    """
    reader = _Reader()
    programme = reader.programme(message, author)
    problems = (*reader.problems, *validate(programme))
    return problems or programme


class _Reader:
    """Reads a message and collects what the domain cannot say."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def programme(self, message: pb.Programme, author: str) -> Programme:
        return Programme(
            version=message.version,
            name=message.name,
            effective_ms=self._effective_ms(message),
            purses=tuple(self._purse(f"purses[{at}]", purse) for at, purse in enumerate(message.purses)),
            terms=tuple(
                self._terms(f"purses[{at}].expiry", purse) for at, purse in enumerate(message.purses)
            ),
            rules=tuple(self._rule(f"rules[{at}]", rule) for at, rule in enumerate(message.rules)),
            activities=tuple(_activity(activity) for activity in message.activities),
            limits=Limits(message.limits.single_approver_units, message.limits.daily_transfer_units),
            author=author,
            proofs=tuple(self._proof(f"proofs[{at}]", limit) for at, limit in enumerate(message.proofs)),
        )

    def _effective_ms(self, message: pb.Programme) -> int:
        if not message.HasField("effective_time"):
            return 0
        time = message.effective_time
        at_ms = time.seconds * 1_000 + time.nanos // 1_000_000
        if not (0 <= at_ms < MAX_MS and 0 <= time.nanos < 1_000_000_000):
            self.problems.append(
                Problem("effective_time", "This must be a time from 1970 to the end of 2199.")
            )
            return 0
        return at_ms

    def _purse(self, path: str, purse: pb.PurseDefinition) -> PurseDefinition:
        return PurseDefinition(
            code=purse.code,
            kind=self._kind(f"{path}.kind", purse.kind),
            unit=purse.unit,
            exponent=purse.exponent,
            spend_order=purse.spend_order,
            channels=tuple(purse.channels),
            stores=tuple(purse.stores),
            transferable=purse.transferable,
            credit_limit=purse.credit_limit,
            rate=RedemptionRate(purse.redemption_rate.units, purse.redemption_rate.money_minor)
            if purse.HasField("redemption_rate")
            else None,
            spent_return_policy=self._policy(f"{path}.spent_return_policy", purse.spent_return_policy),
            goal=purse.goal,
        )

    def _terms(self, path: str, purse: pb.PurseDefinition) -> PurseTerms:
        return PurseTerms(purse.code, self._expiry(path, purse), purse.pending_days)

    def _expiry(self, path: str, purse: pb.PurseDefinition) -> Expiry | None:
        match purse.expiry.WhichOneof("rule"):
            case "days":
                return AfterDays(purse.expiry.days)
            case "months_end":
                return MonthsEnd(purse.expiry.months_end)
            case "on_date":
                return OnDate(purse.expiry.on_date)
        if purse.HasField("expiry"):
            message = "Say days, months_end or on_date; leave the expiry out for units that never expire."
            self.problems.append(Problem(path, message))
        return None

    def _kind(self, path: str, kind: balance_pb2.PurseKind.ValueType) -> PurseKind:
        try:
            return PurseKind(kind)
        except ValueError:
            self.problems.append(Problem(path, "Say what it holds: points, stored_value or stamps."))
            return PurseKind.POINTS

    def _proof(self, path: str, limit: pb.ProofLimit) -> ProofLimit:
        try:
            kind = ProofKind(limit.proof)
        except ValueError:
            kinds = ", ".join(known.name.lower() for known in ProofKind)
            self.problems.append(Problem(f"{path}.proof", f"Say which proof: {kinds}."))
            kind = ProofKind.CONFIRMATION_CODE
        return ProofLimit(
            kind, limit.transaction_units, limit.daily_units, limit.tries, limit.required_from_units
        )

    def _policy(self, path: str, policy: pb.SpentReturnPolicy.ValueType) -> SpentReturnPolicy:
        try:
            return SpentReturnPolicy(policy or pb.SPENT_RETURN_POLICY_NEGATIVE)
        except ValueError:
            self.problems.append(Problem(path, "This must be negative, clip or recover."))
            return SpentReturnPolicy.NEGATIVE

    def _rounding(self, path: str, rounding: pb.Rounding.ValueType) -> Rounding:
        try:
            return Rounding(rounding or pb.ROUNDING_DOWN)
        except ValueError:
            self.problems.append(Problem(path, "This must be down, up, half_up or half_even."))
            return Rounding.DOWN

    def _rule(self, path: str, rule: pb.EarningRule) -> EarningRule:
        return EarningRule(
            code=rule.code,
            grant=self._grant(path, rule),
            purse=rule.purse,
            lines=_selector(rule.lines) if rule.HasField("lines") else None,
            window=_window(rule.window) if rule.HasField("window") else None,
            condition=rule.condition,
            daily_cap_units=rule.daily_cap_units,
            funder=rule.funder,
            campaign=rule.campaign,
            receipt_text=_receipt_text(rule.receipt_text),
        )

    def _grant(self, path: str, rule: pb.EarningRule) -> Grant:
        match rule.WhichOneof("award"):
            case "rate":
                rounding = self._rounding(f"{path}.rate.rounding", rule.rate.rounding)
                return Rate(rule.rate.units, rule.rate.money_minor, rounding)
            case "fixed_units":
                return Fixed(rule.fixed_units)
            case "multiplier_milli":
                return Multiplier(rule.multiplier_milli)
            case "exclude" if rule.exclude:
                return Exclusion()
        message = "Say what it does: rate, fixed_units, multiplier_milli, or exclude = true."
        self.problems.append(Problem(path, message))
        return Fixed(1)


def _selector(lines: pb.LineSelector) -> LineSelector:
    return LineSelector(tuple(lines.groups), tuple(lines.tags), tuple(lines.skus), tuple(lines.brands))


def _window(window: pb.TimeWindow) -> TimeWindow:
    return TimeWindow(
        window.start_date,
        window.end_date,
        tuple(window.weekdays),
        window.start_minute,
        window.end_minute,
    )


def _activity(activity: pb.Activity) -> ActivityRule:
    return ActivityRule(
        activity.code,
        activity.purse,
        activity.units,
        activity.daily_limit,
        activity.condition,
        _receipt_text(activity.receipt_text),
    )


def _receipt_text(texts: Mapping[str, str]) -> ReceiptText:
    # A protobuf map has no order; by tag, the same programme is always the same data.
    return tuple(sorted(texts.items()))


# --- the other way ---------------------------------------------------------------------------------------


def programme_to_proto(programme: Programme) -> pb.Programme:
    """The public form of a programme; its author is not part of it."""
    terms = {terms.purse: terms for terms in programme.terms}
    message = pb.Programme(
        version=programme.version,
        name=programme.name,
        purses=[
            _purse_message(purse, terms.get(purse.code, PurseTerms(purse.code))) for purse in programme.purses
        ],
        rules=[_rule_message(rule) for rule in programme.rules],
        activities=[
            pb.Activity(
                code=activity.code,
                purse=activity.purse,
                units=activity.units,
                daily_limit=activity.daily_limit,
                condition=activity.condition,
                receipt_text=dict(activity.receipt_text),
            )
            for activity in programme.activities
        ],
        limits=pb.Limits(
            single_approver_units=programme.limits.single_approver_units,
            daily_transfer_units=programme.limits.daily_transfer_units,
        ),
        proofs=[
            pb.ProofLimit(
                proof=int(limit.proof),  # type: ignore[arg-type]  # the protos' own numbers
                transaction_units=limit.transaction_units,
                daily_units=limit.daily_units,
                tries=limit.tries,
                required_from_units=limit.required_from_units,
            )
            for limit in programme.proofs
        ],
    )
    if programme.effective_ms:
        seconds, milliseconds = divmod(programme.effective_ms, 1_000)
        message.effective_time.CopyFrom(Timestamp(seconds=seconds, nanos=milliseconds * 1_000_000))
    return message


def _purse_message(purse: PurseDefinition, terms: PurseTerms) -> pb.PurseDefinition:
    message = pb.PurseDefinition(
        code=purse.code,
        kind=balance_pb2.PurseKind.ValueType(purse.kind),
        unit=purse.unit,
        exponent=purse.exponent,
        spend_order=purse.spend_order,
        channels=purse.channels,
        stores=purse.stores,
        pending_days=terms.pending_days,
        transferable=purse.transferable,
        credit_limit=purse.credit_limit,
        spent_return_policy=pb.SpentReturnPolicy.ValueType(purse.spent_return_policy),
        goal=purse.goal,
    )
    if purse.rate is not None:
        rate = pb.RedemptionRate(units=purse.rate.units, money_minor=purse.rate.money_minor)
        message.redemption_rate.CopyFrom(rate)
    match terms.expiry:
        case AfterDays(days):
            message.expiry.days = days
        case MonthsEnd(months):
            message.expiry.months_end = months
        case OnDate(date):
            message.expiry.on_date = date
    return message


def _rule_message(rule: EarningRule) -> pb.EarningRule:
    message = pb.EarningRule(
        code=rule.code,
        purse=rule.purse,
        condition=rule.condition,
        daily_cap_units=rule.daily_cap_units,
        funder=rule.funder,
        campaign=rule.campaign,
        receipt_text=dict(rule.receipt_text),
    )
    match rule.grant:
        case Rate(units, money_minor, rounding):
            name = pb.Rounding.ValueType(rounding)
            message.rate.CopyFrom(pb.Rate(units=units, money_minor=money_minor, rounding=name))
        case Fixed(units):
            message.fixed_units = units
        case Multiplier(milli):
            message.multiplier_milli = milli
        case Exclusion():
            message.exclude = True
    if rule.lines is not None:
        lines = rule.lines
        message.lines.CopyFrom(
            pb.LineSelector(groups=lines.groups, tags=lines.tags, skus=lines.skus, brands=lines.brands)
        )
    if rule.window is not None:
        window = rule.window
        message.window.CopyFrom(
            pb.TimeWindow(
                start_date=window.start_date,
                end_date=window.end_date,
                weekdays=window.weekdays,
                start_minute=window.start_minute,
                end_minute=window.end_minute,
            )
        )
    return message
