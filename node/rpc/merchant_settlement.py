"""Settlement, as a merchant's own people see it: windows and closes, the position, statements, payments."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from node.actors.settling import Settling
from node.actors.settling_paid import SettlingPaid
from node.actors.settling_ports import LaneBooks, LanesUnavailable, SettlingFault
from node.actors.settling_position import PairNow, pair_now
from node.coalition.directory import Directory, Window
from node.ledger.refusals import Reason, refuse
from node.peering.operator_client import OperatorClient, OperatorRefuses
from node.proto.vafa.coalition.v1 import exchange_pb2
from node.proto.vafa.settlement.v1 import close_pb2
from node.proto.vafa.settlement.v1 import merchant_settlement_service_pb2 as pb
from node.proto.vafa.settlement.v1 import settlement_service_pb2 as operator_pb
from node.rpc.status import Context, fail
from node.settlement.documents import SignedClose
from node.settlement.windows import WindowState, partners_of, terms_of
from node.storage.settlement_keys import Item, item_key
from node.wire.settlement import mismatch_message
from node.wire.settlement_fields import stamp, wide
from node.wire.settlement_rpc import PART_BYTES, WindowShown

MAX_PAGE = 100
DEFAULT_PAGE = 20
NO_COALITION = refuse(
    Reason.NO_COALITION, "The node is in no coalition. `vafa join COALITION` makes a request to join one."
)


class MerchantSettlementService:
    """The servicer. `directory` gives None where the node is in no coalition."""

    def __init__(
        self,
        settling: Settling,
        lanes: LaneBooks,
        paid: SettlingPaid,
        operator: Callable[[], OperatorClient],
        directory: Callable[[], Directory | None],
        clock_ms: Callable[[], int],
    ) -> None:
        self._settling = settling
        self._lanes = lanes
        self._paid = paid
        self._operator = operator
        self._directory = directory
        self._clock_ms = clock_ms

    async def _known(self, context: Context) -> Directory:
        directory = self._directory()
        if directory is None:
            await fail(context, NO_COALITION)
            raise AssertionError("fail always raises")
        return directory

    # --- windows -------------------------------------------------------------------------------------------

    async def ListOwnWindows(
        self, request: pb.ListOwnWindowsRequest, context: Context
    ) -> pb.ListOwnWindowsResponse:
        """The windows that have begun."""
        directory = await self._known(context)
        most = min(request.page_size if request.page_size > 0 else DEFAULT_PAGE, MAX_PAGE)
        begun = [
            one
            for one in directory.windows
            if one.number >= request.from_number and one.open_time_ms <= self._clock_ms()
        ]
        chosen = begun[:most] if request.from_number else begun[-most:]
        shown = await self._asked(chosen[0].number) if chosen else None
        states = {one.number: one.state for one in shown or ()}
        return pb.ListOwnWindowsResponse(
            windows=[self._window(directory, one, states.get(one.number)) for one in chosen],
            operator_reached=shown is not None,
        )

    async def _asked(self, from_number: int) -> list[WindowShown] | None:
        try:
            return await self._operator().windows(from_number)
        except OperatorRefuses:
            return None

    def _window(self, directory: Directory, window: Window, state: WindowState | None) -> pb.OwnWindow:
        number = window.number
        statement = self._settling.statement(number)
        if state is None:
            state = self._state(window, kept=statement is not None)
        lines = statement.lines if statement else self._settling.closes(number)
        closes = {one.close.pair: one for one in lines if isinstance(one, SignedClose)}
        own_id = self._settling.own_id
        others = [one for one in partners_of(directory, number) if one != own_id]
        pairs = sorted([(own_id, one) for one in others] + [(one, own_id) for one in others])
        return pb.OwnWindow(
            number=number,
            cut_time=stamp(window.cut_time_ms),
            state=operator_pb.WindowState.ValueType(state),
            statement_kept=statement is not None,
            closes=[_close(pair, closes.get(pair)) for pair in pairs],
            mismatches=[mismatch_message(one) for one in self._settling.mismatches(number)],
        )

    def _state(self, window: Window, *, kept: bool) -> WindowState:
        """Where a window is by what this node knows itself."""
        if window.number <= self._paid.relieved():
            return WindowState.SETTLED
        if kept:
            return WindowState.PENDING
        return WindowState.CLOSED if window.cut_time_ms <= self._clock_ms() else WindowState.OPEN

    # --- position ------------------------------------------------------------------------------------------

    async def GetPosition(self, request: pb.GetPositionRequest, context: Context) -> pb.GetPositionResponse:
        """What is owed to whom at this moment."""
        directory = await self._known(context)
        window = directory.window_at(self._clock_ms())
        number = window.number if window else max((one.number for one in directory.windows), default=0)
        terms = terms_of(directory, number)
        response = pb.GetPositionResponse(window=window.number if window else 0)
        if terms is not None:
            response.currency, response.currency_exponent = terms.currency, terms.currency_exponent
        for partner_id in sorted(one.partner_id for one in directory.partners):
            if partner_id == self._settling.own_id:
                continue
            try:
                now = await pair_now(self._settling, self._lanes, directory, partner_id, number)
            except LanesUnavailable:
                await fail(context, refuse(Reason.UNAVAILABLE, "A shard does not answer. Try again."))
            except SettlingFault as fault:
                await fail(context, refuse(Reason.INTERNAL, str(fault)))
            response.partners.append(self._pair(directory, now))
        try:
            data = await self._operator().positions()
        except OperatorRefuses:
            data = None
        for one in operator_pb.ListPositionsResponse.FromString(data or b"").positions:
            response.at_operator.CopyFrom(one)
        return response

    def _pair(self, directory: Directory, now: PairNow) -> pb.PairPosition:
        own_id, (home, acquirer) = self._settling.own_id, now.usage
        return pb.PairPosition(
            partner_id=now.partner_id,
            owed_micro=wide(now.owed_micro) if now.priced else b"",
            sums=[
                pb.PositionSum(
                    home=side is now.home,
                    kind=exchange_pb2.RecordKind.ValueType(one.kind),
                    rate_version=one.rate_version,
                    record_count=one.record_count,
                    units=wide(one.units),
                )
                for side in (now.home, now.acquirer)
                for one in side.sums
            ],
            cap_units=directory.cap(own_id, now.partner_id),
            used_units=max(home.home_owes, acquirer.acquirer_owes),
            partner_cap_units=directory.cap(now.partner_id, own_id),
            partner_used_units=max(home.acquirer_owes, acquirer.home_owes),
            record_count=now.home.record_count + now.acquirer.record_count,
        )

    # --- statements and payments ---------------------------------------------------------------------------

    async def GetOwnStatement(
        self, request: pb.GetOwnStatementRequest, context: Context
    ) -> AsyncIterator[pb.GetOwnStatementResponse]:
        """A statement that this node has kept."""
        await self._known(context)
        data = self._settling.store.get(item_key(Item.STATEMENT, max(request.window, 0)))
        if data is None:
            text = f"This node has no statement of window {request.window}."
            await fail(context, refuse(Reason.STATEMENT_NOT_FOUND, text))
            return
        for first in range(0, len(data), PART_BYTES):
            yield pb.GetOwnStatementResponse(part=data[first : first + PART_BYTES])

    async def ListEquivocations(
        self, request: pb.ListEquivocationsRequest, context: Context
    ) -> pb.ListEquivocationsResponse:
        """Proofs that the operator signed two statements for one window."""
        await self._known(context)
        found = map(close_pb2.EquivocationProof.FromString, self._settling.equivocations())
        return pb.ListEquivocationsResponse(proofs=found)

    async def ListOwnPayments(
        self, request: pb.ListOwnPaymentsRequest, context: Context
    ) -> pb.ListOwnPaymentsResponse:
        """The payments of a window as the operator has them."""
        await self._known(context)
        try:
            data = await self._operator().payments(request.window)
        except OperatorRefuses as refusal:
            await fail(context, refuse(Reason.OPERATOR_REFUSED, f"The operator says: {refusal}"))
            raise AssertionError("fail always raises") from None
        if data is None:
            return pb.ListOwnPaymentsResponse()
        return pb.ListOwnPaymentsResponse(at_operator=operator_pb.ListPaymentsResponse.FromString(data))

    async def ReportOwnPayments(
        self, request: pb.ReportOwnPaymentsRequest, context: Context
    ) -> pb.ReportOwnPaymentsResponse:
        """Hands the operator what the merchant's bank says."""
        await self._known(context)
        asked = operator_pb.ReportPaymentsRequest(
            request_id=request.request_id, window=request.window, bookings=request.bookings
        )
        try:
            data = await self._operator().report_payments(asked.SerializeToString())
        except OperatorRefuses as refusal:
            await fail(context, refuse(Reason.OPERATOR_REFUSED, f"The operator says: {refusal}"))
            raise AssertionError("fail always raises") from None
        if data is None:
            text = "The operator is not reached. Nothing was told; do this again later."
            await fail(context, refuse(Reason.UNAVAILABLE, text))
            raise AssertionError("fail always raises")
        answer = operator_pb.ReportPaymentsResponse.FromString(data)
        return pb.ReportOwnPaymentsResponse(payments=answer.payments, state=answer.window.state)


def _close(pair: tuple[str, str], signed: SignedClose | None) -> pb.OwnClose:
    shown = pb.OwnClose(home_id=pair[0], acquirer_id=pair[1])
    if signed is not None:
        close = signed.close
        shown.signer_ids.extend(one.signer_id for one in signed.signatures)
        shown.basis = close_pb2.CloseBasis.ValueType(close.basis)
        shown.record_count = close.record_count
        for one in close.disputed:
            shown.disputed.add(
                lane=one.lane,
                agreed_number=one.agreed_number,
                home_number=one.home_number,
                acquirer_number=one.acquirer_number,
                mismatch=close_pb2.MismatchClass.ValueType(one.mismatch),
            )
    return shown
