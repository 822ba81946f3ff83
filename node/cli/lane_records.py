"""What the commands about lanes read from a node: its directory, and records page by page."""

from __future__ import annotations

from collections.abc import Iterator

from node.cli.connection import DEADLINE_SECONDS
from node.cli.join import JoinRefused
from node.proto.vafa.coalition.v1 import coalition_service_pb2 as pb
from node.proto.vafa.coalition.v1 import coalition_service_pb2_grpc
from node.wire.coalition_directory import read_directory
from node.wire.coalition_trust import KnownDirectories

PAGE = 500


def known_directories(stub: coalition_service_pb2_grpc.CoalitionServiceStub) -> KnownDirectories:
    """The directory that the node follows; raises JoinRefused where it is in no coalition."""
    answer = stub.GetCoalition(pb.GetCoalitionRequest(), timeout=DEADLINE_SECONDS)
    if not answer.HasField("signed_directory"):
        raise JoinRefused("The node is in no coalition. `vafa join COALITION` makes a request to join one.")
    # The newest one is enough: no directory takes away a key that an older one named.
    return KnownDirectories([read_directory(answer.signed_directory.SerializeToString(deterministic=True))])


def lane_records(
    stub: coalition_service_pb2_grpc.CoalitionServiceStub,
    partner: str,
    home: bool,
    lane: int,
    first: int = 1,
    *,
    from_partner: bool = False,
) -> Iterator[bytes]:
    """All records of a lane from a number on, page by page, as this node or the partner holds them."""
    while True:
        request = pb.ListRecordsRequest(
            partner_id=partner,
            home=home,
            lane=lane,
            from_number=first,
            page_size=PAGE,
            from_partner=from_partner,
        )
        page = stub.ListRecords(request, timeout=DEADLINE_SECONDS).records
        yield from (record.SerializeToString() for record in page)
        first += len(page)
        if len(page) < PAGE:
            return
