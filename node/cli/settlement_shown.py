"""A node's windows, position and payments, as text for people and as rows for machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from node.cli.settlement_text import table
from node.coalition.envelopes import Envelope
from node.coalition.messages import MessageType, Posted, PostedCore, RecordKind
from node.proto.vafa.settlement.v1 import close_pb2, dispute_pb2
from node.proto.vafa.settlement.v1 import merchant_settlement_service_pb2 as pb
from node.proto.vafa.settlement.v1 import settlement_service_pb2 as operator_pb
from node.settlement.documents import DisputedLane, MismatchClass
from node.settlement.netting import MICRO_EXPONENT
from node.settlement.reports import DisputeFacts, dispute_report
from node.wire.coalition_bodies import ENCODER
from node.wire.settlement_csv import money
from node.wire.settlement_scan import entry_of

Names = Mapping[str, str]


def state_name(state: int) -> str:
    """A window's state in small letters."""
    return operator_pb.WindowState.Name(state).removeprefix("WINDOW_STATE_").lower()  # type: ignore[arg-type]  # the protos' own numbers and names


def amount(data: bytes) -> int:
    """A whole number from its 16 bytes; 0 of none."""
    return int.from_bytes(data, "big", signed=True)


# --- windows -----------------------------------------------------------------------------------------------


def window_rows(windows: Iterable[pb.OwnWindow]) -> list[dict[str, Any]]:
    """Windows with their closes and disputes."""
    return [
        {
            "number": one.number,
            "state": state_name(one.state),
            "cut": one.cut_time.ToJsonString(),
            "statement_kept": one.statement_kept,
            "closes": [
                {
                    "home": close.home_id,
                    "acquirer": close.acquirer_id,
                    "signed_by": list(close.signer_ids),
                    "basis": _basis(close),
                    "records": close.record_count,
                    "disputed": [
                        {
                            "lane": lane.lane,
                            "agreed_number": lane.agreed_number,
                            "mismatch": _mismatch(lane.mismatch),
                        }
                        for lane in close.disputed
                    ],
                }
                for close in one.closes
            ],
            "found": [
                {
                    "home": found.home_id,
                    "acquirer": found.acquirer_id,
                    "lane": found.lane,
                    "number": found.agreed.number + 1,
                    "mismatch": _mismatch(found.mismatch),
                }
                for found in one.mismatches
            ],
        }
        for one in windows
    ]


def own_windows_text(
    windows: Iterable[pb.OwnWindow], names: Names, *, whole: bool, known: Iterable[pb.OwnWindow] = ()
) -> str:
    """Windows, one a row; of windows on their way, or where the `whole` is wanted, the closes; and what is
    held back, in words, where no window that is `known`, one of these or another, has settled it since.
    """
    rows, parts, shown = [], [], list(windows)
    all_known = [*shown, *known]
    for one in shown:
        signed = sum(len(close.signer_ids) == 2 for close in one.closes)
        kept = "kept" if one.statement_kept else ""
        closes = f"{signed}/{len(one.closes)}"
        rows.append((str(one.number), state_name(one.state), one.cut_time.ToJsonString(), closes, kept))
        if whole or one.state == operator_pb.WINDOW_STATE_CLOSED:
            parts.append(_closes_text(one, names))
        held = [(close, lane) for close in one.closes for lane in close.disputed]
        parts += [_held_back(one, close, lane, all_known, names) for close, lane in held]
    return "\n\n".join((table(("window", "state", "cut", "signed by both", "statement"), rows), *parts))


def _closes_text(window: pb.OwnWindow, names: Names) -> str:
    rows = [
        (
            _called(close.home_id, names),
            _called(close.acquirer_id, names),
            str(close.record_count),
            " and ".join(close.signer_ids) or "nobody yet",
            _basis(close).replace("_", " "),
            ", ".join(str(lane.lane) for lane in close.disputed),
        )
        for close in window.closes
    ]
    columns = ("members of", "at", "records", "signed by", "basis", "lanes held back")
    return f"Window {window.number}\n{table(columns, rows)}"


def _held_back(
    window: pb.OwnWindow,
    close: pb.OwnClose,
    lane: close_pb2.DisputedLane,
    windows: Sequence[pb.OwnWindow],
    names: Names,
) -> str:
    """A report for a lane that is held back; with the records where this node has them."""
    since = _settled_since(window, close, lane.lane, windows)
    if since:
        who = f"members of {_called(close.home_id, names)} at {_called(close.acquirer_id, names)}"
        what = f"lane {lane.lane} from record {lane.agreed_number + 1} on"
        return f"Held back by window {window.number}, settled by window {since}: {who}, {what}."
    found = [
        one
        for one in window.mismatches
        if (one.home_id, one.acquirer_id, one.lane) == (close.home_id, close.acquirer_id, lane.lane)
    ]
    evidence = found[-1] if found else None
    kept = DisputedLane(
        lane.lane, lane.agreed_number, lane.home_number, lane.acquirer_number, MismatchClass(lane.mismatch)
    )
    cores = (_core(evidence, "home_record"), _core(evidence, "acquirer_record"))
    facts = DisputeFacts(close.home_id, close.acquirer_id, window.number, kept, "", *cores)
    return f"HELD BACK. {dispute_report(facts, names)}"


def _settled_since(
    window: pb.OwnWindow, close: pb.OwnClose, lane: int, windows: Iterable[pb.OwnWindow]
) -> int:
    """The first later window by which both sides have agreed on the whole lane; 0 where none has yet."""
    pair = close.home_id, close.acquirer_id
    for later in windows:
        if later.number <= window.number or not later.statement_kept:
            continue
        for one in later.closes:
            whole = one.basis == close_pb2.CLOSE_BASIS_AGREED and all(at.lane != lane for at in one.disputed)
            if whole and (one.home_id, one.acquirer_id) == pair:
                return later.number
    return 0


def _core(found: dispute_pb2.Mismatch | None, name: str) -> PostedCore | None:
    """The posted core of a record that a side showed."""
    if found is None or not found.HasField(name):  # type: ignore[arg-type]  # the protos' own numbers and names
        return None
    posted: Envelope = entry_of(getattr(found, name).SerializeToString()).posted
    body = ENCODER.read(MessageType.POSTED, posted.body)
    return body.core if isinstance(body, Posted) else None


def _basis(close: pb.OwnClose) -> str:
    return close_pb2.CloseBasis.Name(close.basis).removeprefix("CLOSE_BASIS_").lower() if close.basis else ""


def _mismatch(mismatch: close_pb2.MismatchClass.ValueType) -> str:
    return close_pb2.MismatchClass.Name(mismatch).removeprefix("MISMATCH_CLASS_").lower()


# --- position ----------------------------------------------------------------------------------------------


def position_rows(found: pb.GetPositionResponse) -> dict[str, Any]:
    """The position; amounts as decimal digits, in the units that the names say."""
    operator = found.at_operator
    return {
        "window": found.window,
        "currency": found.currency,
        "currency_exponent": found.currency_exponent,
        "partners": [
            {
                "partner": one.partner_id,
                "owed_to_us_micro": str(amount(one.owed_micro)) if one.owed_micro else None,
                "records": one.record_count,
                "cap_units": one.cap_units,
                "used_units": one.used_units,
                "partner_cap_units": one.partner_cap_units,
                "partner_used_units": one.partner_used_units,
                "sums": [
                    {
                        "home": part.home,
                        "kind": RecordKind(part.kind).name.lower(),
                        "rate_version": part.rate_version,
                        "records": part.record_count,
                        "units": str(amount(part.units)),
                    }
                    for part in one.sums
                ],
            }
            for one in found.partners
        ],
        "operator": {
            "window": operator.window,
            "net": str(amount(operator.net)),
            "unpaid": str(amount(operator.unpaid)),
            "awaited": str(amount(operator.awaited)),
            "prepaid": str(amount(operator.prepaid.balance)) if operator.HasField("prepaid") else None,
            "alert_percent": operator.prepaid.alert_percent if operator.HasField("prepaid") else None,
            "suspend": operator.suspend,
            "reason": operator.reason,
        }
        if found.HasField("at_operator")
        else None,
    }


def position_text(found: pb.GetPositionResponse, names: Names) -> str:
    """The position for a person."""
    rows = [
        (
            _called(one.partner_id, names),
            money(amount(one.owed_micro), MICRO_EXPONENT) if one.owed_micro else "no rate",
            str(one.record_count),
            f"{one.used_units}/{one.cap_units}",
            f"{one.partner_used_units}/{one.partner_cap_units}",
        )
        for one in found.partners
    ]
    head = f"Not settled yet, in {found.currency or 'no settlement currency'}; window {found.window} is open."
    columns = ("partner", "owes us", "records", "we use of our cap", "it uses of its cap")
    return "\n".join((head, table(columns, rows), *_operator_lines(found)))


def _operator_lines(found: pb.GetPositionResponse) -> list[str]:
    if not found.HasField("at_operator"):
        return ["The operator is not reached: payments and prepaid balance are not known."]
    one, exponent = found.at_operator, found.currency_exponent
    lines = [
        f"By statements we still pay {money(amount(one.unpaid), exponent)}, "
        f"and are still to get {money(amount(one.awaited), exponent)}."
    ]
    if one.HasField("prepaid"):
        lines.append(prepaid_text(one.prepaid, exponent))
    if one.reason:
        lines.append(f"The operator notes: {one.reason}.")
    return lines


def prepaid_text(one: operator_pb.PrepaidBalance, exponent: int) -> str:
    """A prepaid balance, with its warning."""
    text = f"Prepaid: {money(amount(one.balance), exponent)} left"
    if one.used_up:
        return f"{text}: USED UP. Nobody spends abroad until more comes in; members go on earning."
    low = one.alert_percent < 100
    return f"{text}, {one.alert_percent}% or less of the last top-up: top up soon." if low else f"{text}."


# --- payments ----------------------------------------------------------------------------------------------


def payments_rows(now: operator_pb.ListPaymentsResponse) -> dict[str, Any]:
    """The payments of a window, who is in default, and what stands between two."""
    return {
        "due": now.due_time.ToJsonString(),
        "payments": [
            {
                "reference": one.payment.reference,
                "from": one.payment.debtor_id,
                "to": one.payment.creditor_id,
                "amount": str(amount(one.payment.amount)),
                "state": payment_state(one),
                "booked": str(amount(one.booked_amount)),
            }
            for one in now.payments
        ],
        "defaulted": [{"partner": one.partner_id, "reason": one.reason} for one in now.defaulted],
        "standing": [
            {
                "reference": one.reference,
                "from": one.debtor_id,
                "to": one.creditor_id,
                "amount": str(amount(one.amount)),
            }
            for one in now.standing
        ],
    }


def payments_text(now: operator_pb.ListPaymentsResponse, names: Names, exponent: int) -> str:
    """The same for a person."""
    rows = [
        (
            one.payment.reference,
            _called(one.payment.debtor_id, names),
            _called(one.payment.creditor_id, names),
            money(amount(one.payment.amount), exponent),
            _state_words(one, exponent),
        )
        for one in now.payments
    ]
    parts = [table(("reference", "pays", "to", "amount", f"due {now.due_time.ToJsonString()}"), rows)]
    parts += [f"IN DEFAULT: {_called(one.partner_id, names)}: {one.reason}" for one in now.defaulted]
    parts += [
        f"Between the two: {_called(one.debtor_id, names)} owes {_called(one.creditor_id, names)} "
        f"{money(amount(one.amount), exponent)}, to be paid as {one.reference}."
        for one in now.standing
    ]
    return "\n".join(part for part in parts if part)


def payment_state(one: operator_pb.PaymentShown) -> str:
    """A payment's state in small letters."""
    return operator_pb.PaymentState.Name(one.state).removeprefix("PAYMENT_STATE_").lower()


def _state_words(one: operator_pb.PaymentShown, exponent: int) -> str:
    booked = money(amount(one.booked_amount), exponent)
    match one.state:
        case operator_pb.PAYMENT_STATE_SAID:
            return f"not confirmed: the payer says that it paid {booked}"
        case operator_pb.PAYMENT_STATE_DIFFERENT:
            return f"NOT PAID: {booked} came"
        case operator_pb.PAYMENT_STATE_PAID:
            return f"paid {one.bank_reference}".strip()
        case operator_pb.PAYMENT_STATE_REPLACED:
            return "others in its place" + (f"; {booked} came of it" if amount(one.booked_amount) else "")
        case _:
            return "open"


def payment_text(row: Mapping[str, Any]) -> str:
    """A payment of ours beside the bank's file, as `settlement paid` says it."""
    said = "paid    " if row["paid"] else "replaced" if row["replaced"] else "NOT PAID"
    text = f"{said} {row['reference']}: {row['from']} to {row['to']}, {row['amount']}"
    text += f" ({row['problem']})" if row["problem"] else ""
    return text + (f"; the operator has it as {row['operator']}" if row["operator"] else "")


def _called(partner_id: str, names: Names) -> str:
    return names.get(partner_id) or partner_id
