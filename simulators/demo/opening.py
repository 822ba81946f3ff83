"""Before the shop opens: members are enrolled and tills get their certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from node.identity.caller import Role
from node.proto.vafa.member.v1 import chip_card_pb2
from simulators.demo.screen import Advance
from simulators.enrolment import TillCertificate, enrol_with_code
from simulators.launch import NodeUnderTest
from simulators.shoppers import Member
from simulators.staff import Staff

ENROLLED_BY_CODE = 3
"""So many tills get their certificate as a real one does; the others' are issued past the enrolment."""

_ENROLMENTS_UNDER_WAY = 32


async def enrol_members(
    staff: Staff, members: Iterable[Member], occurred_ms: int | None, advance: Advance
) -> None:
    """Open an account for each; `occurred_ms` is when they filled in the form, None is now."""
    waiting = iter(members)

    async def work() -> None:
        for member in waiting:
            await staff.enrol(member, occurred_ms)
            advance(1)

    async with asyncio.TaskGroup() as workers:
        for _ in range(_ENROLMENTS_UNDER_WAY):
            workers.create_task(work())


async def note_cards(staff: Staff, chips: Mapping[str, chip_card_pb2.ChipCard]) -> None:
    """Tell the node of the chips on members' cards, by their numbers, as a bureau's job does."""
    waiting = iter(chips.items())

    async def work() -> None:
        for number, chip in waiting:
            await staff.note_card(number, chip)

    async with asyncio.TaskGroup() as workers:
        for _ in range(_ENROLMENTS_UNDER_WAY):
            workers.create_task(work())


async def certify_tills(
    node: NodeUnderTest, staff: Staff, places: Sequence[tuple[str, str]], advance: Advance
) -> list[TillCertificate]:
    """A certificate for each (store, till), in their order."""
    certificates = []
    for number, (store_id, till_id) in enumerate(places):
        if number < ENROLLED_BY_CODE:
            code = await staff.till_code(store_id, till_id)
            certificate = await enrol_with_code(node.addresses.enrolment, node.authority_pem, code)
        else:
            certificate = await asyncio.to_thread(node.issue, Role.TILL, till_id, store=store_id)
        certificates.append(certificate)
        advance(1)
    return certificates
