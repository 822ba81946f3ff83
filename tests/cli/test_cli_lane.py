"""`vafa lane list`, as people read it."""

from __future__ import annotations

from node.cli.lane import standing_lines
from node.proto.vafa.coalition.v1 import coalition_service_pb2 as pb


def test_how_it_stands_with_a_partner_is_read_in_a_few_lines() -> None:
    link = pb.PartnerLink(
        partner_id="nile", connected=True, cap_units=500, used_units=40, partner_cap_units=700,
        partner_used_units=-40, waiting_exchanges=2,
    )  # fmt: skip
    link.oldest_exchange_time.FromMilliseconds(1_790_000_000_000)
    link.lanes.add(home=True, lane=0, number=12, open=True)
    link.lanes.add(home=True, lane=1, number=3, open=True, missing_records=2)
    link.lanes.add(home=False, lane=4, number=9, dispute="forked")
    assert standing_lines(link) == [
        "nile  connected",
        "  we owe                40 of at most 500",
        "  they owe us            0 of at most 700",
        "  2 exchanges wait for an answer, the oldest since 2026-09-21 14:13:20",
        "  our members at their tills: 2 lanes, 2 open, 15 records",
        "    lane 1: 2 records are not acknowledged yet",
        "  their members at our tills: 1 lanes, 0 open, 9 records",
        "    lane 4 is SET ASIDE at record 9: forked",
    ]
