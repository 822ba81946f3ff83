"""The coalition, as the merchant's own people see it: the directory in use, and how links stand."""

from __future__ import annotations

import time

from node.actors.exchanging import Exchanging
from node.actors.member_counter import MemberCounter
from node.actors.standing import Standing, Standings
from node.identity.coalition_secrets import CoalitionSecrets
from node.ledger.refusals import Reason, Refused, refuse
from node.proto.vafa.coalition.v1 import coalition_service_pb2 as pb
from node.rpc.admission import CALLER
from node.rpc.partners import Partners
from node.rpc.status import Context, fail
from node.wire.balances import stamp
from node.wire.coalition_frames import RecordsWish, page_size_of
from node.wire.commands import Op
from node.wire.contacts import account_id_from, member_asked
from node.wire.fork_proofs import fork_proof_bytes


class CoalitionService:
    """The servicer."""

    def __init__(
        self,
        exchanging: Exchanging,
        partners: Partners,
        members: MemberCounter,
        secrets: CoalitionSecrets,
        standings: Standings,
    ) -> None:
        self._exchanging = exchanging
        self._members = members
        self._secrets = secrets
        self._standings = standings
        self._directories = exchanging.directories
        self._partners = partners

    async def AdoptDirectory(
        self, request: pb.AdoptDirectoryRequest, context: Context
    ) -> pb.AdoptDirectoryResponse:
        """Takes a directory into use."""
        data = request.signed_directory.SerializeToString(deterministic=True)
        found = self._directories.adopt(data, time.time_ns() // 1_000_000, request.operator_key_uri)
        if isinstance(found, Refused):
            await fail(context, found)
            raise AssertionError("fail always raises")
        return pb.AdoptDirectoryResponse(version=found.newest.version, coalition_id=found.coalition_id)

    async def GetCoalition(
        self, request: pb.GetCoalitionRequest, context: Context
    ) -> pb.GetCoalitionResponse:
        """Shows the directory in use, and how this node stands with each partner."""
        known = self._directories.known
        response = pb.GetCoalitionResponse(peer_address=self._partners.address)
        if known is not None:
            response.signed_directory.MergeFromString(known.data)
            response.accept_time.CopyFrom(stamp(self._directories.accepted_ms))
        links = self._partners.links.waiting()
        standings = {one.partner_id: one for one in await self._standings.look()}
        for partner_id in sorted(links):
            connected, waiting = links[partner_id]
            link = response.links.add(partner_id=partner_id, connected=connected, waiting_messages=waiting)
            if partner_id in standings:
                show_standing(link, standings[partner_id])
        return response

    async def ListRecords(self, request: pb.ListRecordsRequest, context: Context) -> pb.ListRecordsResponse:
        """Reads records of a lane, here or at the partner; none where there is no such lane."""
        own_id, partner_id = self._exchanging.own_id, request.partner_id
        home_id, acquirer_id = (own_id, partner_id) if request.home else (partner_id, own_id)
        first, page = max(request.from_number, 1), page_size_of(request.page_size)
        wish = RecordsWish(home_id, acquirer_id, request.lane, first, page)
        if request.from_partner:
            if partner_id not in self._partners.links.waiting():
                text = "The directory in use names no such partner: there is nobody to ask."
                await fail(context, refuse(Reason.INVALID_ARGUMENT, text, field="partner_id"))
            records = await self._partners.links.list_records(partner_id, wish)
        else:
            records = await self._exchanging.lane_records(partner_id, wish)
        if records is None:
            text = f"{partner_id} cannot be asked now. Nothing was changed; ask again once it is connected."
            await fail(context, refuse(Reason.UNAVAILABLE, text))
            raise AssertionError("fail always raises")
        response = pb.ListRecordsResponse()
        for data in records:
            response.records.add().MergeFromString(data)
        return response

    async def GetDispute(self, request: pb.GetDisputeRequest, context: Context) -> pb.GetDisputeResponse:
        """Shows why a lane was set aside; nothing where it was not."""
        known = self._directories.known
        if known is None or known.newest.partner(request.partner_id) is None:
            return pb.GetDisputeResponse()
        found = await self._exchanging.dispute(request.partner_id, request.lane, home=request.home)
        if isinstance(found, Refused):
            await fail(context, found)
            raise AssertionError("fail always raises")
        response = pb.GetDisputeResponse(why=found.why, number=found.number)
        if found.why:
            response.dispute_time.CopyFrom(stamp(found.at_ms))
        if found.fork_proof:
            first, second = found.fork_proof
            data = fork_proof_bytes(
                first, second, known.coalition_id, known.newest.version, found.links, found.before
            )
            response.fork_proof.MergeFromString(data)
        return response

    async def GetAppSecret(
        self, request: pb.GetAppSecretRequest, context: Context
    ) -> pb.GetAppSecretResponse:
        """Hands over a member's app secret; refused where nobody carries the identifier."""
        body = member_asked(request.identifier.kind, request.identifier.value)
        answer = await self._members.ask(CALLER.get(), Op.GET_MEMBER, body, "")
        if answer.refusal is not None:
            await fail(context, answer.refusal)
        account_id = account_id_from(answer.body)
        return pb.GetAppSecretResponse(
            account_id=account_id, secret=self._secrets.app(bytes.fromhex(account_id))
        )


def show_standing(link: pb.PartnerLink, standing: Standing) -> None:
    """Puts how this node stands with a partner beside how their link does."""
    link.waiting_exchanges = standing.waiting
    if standing.oldest_ms:
        link.oldest_exchange_time.CopyFrom(stamp(standing.oldest_ms))
    link.cap_units, link.used_units = standing.own.cap_units, standing.own.used_units
    link.partner_cap_units, link.partner_used_units = standing.partner.cap_units, standing.partner.used_units
    if standing.clock_ahead_ms is not None:
        link.clock_ahead_ms, link.clock_known = standing.clock_ahead_ms, True
    for lane in standing.lanes:
        link.lanes.add(
            home=lane.home,
            lane=lane.lane,
            number=lane.number,
            epoch=lane.epoch,
            missing_records=lane.missing,
            open=lane.is_open,
            dispute=lane.dispute,
        )
