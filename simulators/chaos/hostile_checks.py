"""What must be true of honest merchants whatever a hostile partner did; each check gives sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from node.coalition.acquirer_facts import AcquirerExchange, Dispute
from node.coalition.home_facts import HomeExchange
from node.coalition.messages import RecordKind
from node.ledger.postings import payable, receivable
from node.storage.coalition_keys import Role
from node.wire.coalition import Opener
from node.wire.coalition_directory import Unreadable
from node.wire.coalition_records import DisputeAnswer
from node.wire.coalition_trust import KnownDirectories, Rejected, first
from node.wire.fork_proofs import fork_proof_bytes, read_fork_proof
from simulators.sim import checks, lane_checks
from simulators.sim.bazaar import PARTITIONS
from simulators.sim.coalition import COALITION, OPERATOR

if TYPE_CHECKING:
    from simulators.chaos.hostile import Hostile
    from simulators.chaos.hostile_partner import Deed


MADE = 3
"""So often an attack must have been made before nobody can say that it was lost on the way."""
FORKED = Dispute.FORKED.value
"""What any other record of a lane is once the honest one has come first."""


class Among(lane_checks.Side):
    """A node's disks, but for its exchanges with others than these."""

    def __init__(self, books: checks.Books, partitions: int, others: Collection[str]) -> None:
        super().__init__(books, partitions)
        self._others = others

    def home_exchanges(self) -> list[HomeExchange]:
        """Exchanges of this node's members at those merchants' tills."""
        return [one for one in super().home_exchanges() if one.partner_id in self._others]

    def acquirer_exchanges(self) -> list[AcquirerExchange]:
        """Exchanges of those merchants' members at this node's tills."""
        return [one for one in super().acquirer_exchanges() if one.partner_id in self._others]


def problems(world: Hostile) -> list[str]:
    """Everything that is not as it must be."""
    known = first(world.directory, OPERATOR.public_uri, world.clock_ms())
    assert not isinstance(known, Rejected), known
    all_books = {node.plan.merchant: checks.Books(node) for node in world.honest}
    sides = [Among(books, PARTITIONS, list(all_books)) for books in all_books.values()]
    found = [
        *lane_checks.chains(sides, PARTITIONS, known),
        *lane_checks.positions(sides, PARTITIONS, checks.POINTS),
        *lane_checks.ended(sides),
        *lane_checks.goods(sides, _among(world, all_books)),
    ]
    for merchant, books in all_books.items():
        found += [*_replay(world, books), *checks.delivered(books), *checks.index(books)]
        found += world.asked(merchant, books)
    for side in sides:
        found += own_lanes(side, world.thief.own_id, known)
        found += own_position(side, world.thief.own_id)
    if world.thief.read:
        found.append(
            f"{world.thief.own_id} has read {len(world.thief.read)} records of a lane between others"
        )
    return [*found, *set_aside(world, sides, known), *named(world), *went_on(world)]


def _replay(world: Hostile, books: checks.Books) -> list[str]:
    """`vafa check` names the lanes that were set aside, and finds nothing else."""
    lanes = [
        f"a lane with {world.thief.own_id} is set aside ({one.why})"
        for one in _disputes(world, books.merchant)
    ]
    found = checks.replay(books)
    for words in lanes:
        named = next((problem for problem in found if words in problem), None)
        if named is None:
            found.append(f"{books.merchant}: `vafa check` does not say that {words}")
        else:
            found.remove(named)
    return found


def _disputes(world: Hostile, merchant: str) -> list[DisputeAnswer]:
    return [dispute for (victim, _), dispute in world.disputes.items() if victim == merchant]


def _among(world: Hostile, honest: Collection[str]) -> Iterator[lane_checks.Spend]:
    for spend in world.spends():
        if spend.acquirer_id in honest and spend.home_id in honest:
            yield spend


def own_lanes(side: lane_checks.Side, thief: str, known: KnownDirectories) -> list[str]:
    """What a victim keeps of its lanes with the hostile partner is a chain under signatures that hold."""
    found = []
    opener = Opener(side.own_id, lambda: known)
    for lane in range(PARTITIONS):
        for role, head in (
            (Role.HOME, side.home_lane(thief, lane)),
            (Role.ACQUIRER, side.acquirer_lane(thief, lane)),
        ):
            if head is not None:
                problem = lane_checks.chain_problem(
                    side.records(role, thief, lane), (head.number, head.hash), opener
                )
                if problem:
                    found.append(f"lane {lane} with {thief}, as {side.own_id} keeps it: {problem}")
    return found


def own_position(side: lane_checks.Side, thief: str) -> list[str]:
    """What a victim's books say of the hostile partner is what its own records add up to."""
    sums: Counter[tuple[Role, RecordKind]] = Counter()
    for lane in range(PARTITIONS):
        for role in (Role.HOME, Role.ACQUIRER):
            for _, entry in side.records(role, thief, lane):
                core = lane_checks.core_of(entry)
                sums[role, core.kind] += core.units

    def net(role: Role, kind: RecordKind, back: RecordKind) -> int:
        return sums[role, kind] - sums[role, back]

    spent, earned = RecordKind.REDEMPTION, RecordKind.ACCRUAL
    spent_back, earned_back = RecordKind.REDEMPTION_RETURN, RecordKind.ACCRUAL_RETURN
    owes = net(Role.HOME, spent, spent_back) + net(Role.ACQUIRER, earned, earned_back)
    owed = net(Role.ACQUIRER, spent, spent_back) + net(Role.HOME, earned, earned_back)
    books = side.book(payable(thief), checks.POINTS), -side.book(receivable(thief), checks.POINTS)
    if books == (owes, owed):
        return []
    return [f"{side.own_id} owes {thief} {owes} and is owed {owed} by its records; its books say {books}"]


def set_aside(world: Hostile, sides: list[Among], known: KnownDirectories) -> list[str]:
    """A lane is set aside for what was said on it, and for nothing else; a fork leaves a proof that holds."""
    found = []
    for side in sides:
        for lane in range(PARTITIONS):
            held = side.acquirer_lane(world.thief.own_id, lane)
            problem = ""
            if held is not None and held.disputed:
                problem = _dispute_problem(world, side.own_id, lane, known, behind=held.behind)
            if problem:
                found.append(
                    f"lane {lane} of {world.thief.own_id} at {side.own_id} is set aside, and {problem}"
                )
    return found


def _dispute_problem(world: Hostile, victim: str, lane: int, known: KnownDirectories, *, behind: bool) -> str:
    dispute = world.disputes.get((victim, lane))
    attack = world.thief.aside.get((victim, lane))
    reasons = {attack.why, FORKED} if attack else {FORKED} if (victim, lane) in world.thief.twice else set()
    if dispute is None or not reasons:
        return "nothing was said on it that is a reason"
    if dispute.why not in reasons:
        return f"that is for {dispute.why}; what was said is {' or '.join(sorted(reasons))}"
    if dispute.why != FORKED or (behind and not dispute.fork_proof):
        return ""  # what would prove it are records that HELLO told of and that have not come
    try:
        fork = read_fork_proof(proof_of(world, victim, lane), known)
    except Unreadable as wrong:
        return f"what is kept of two histories proves nothing: {wrong}"
    if (fork.home_id, fork.acquirer_id, fork.lane) != (world.thief.own_id, victim, lane):
        return f"the proof is about lane {fork.lane} of {fork.home_id} at {fork.acquirer_id}"
    return ""


def proof_of(world: Hostile, victim: str, lane: int) -> bytes:
    """A victim's proof of two histories, as `vafa lane proof` writes it; empty where there is none."""
    dispute = world.disputes[victim, lane]
    one, other = dispute.fork_proof or (b"", b"")
    return fork_proof_bytes(one, other, COALITION, 1, dispute.links, dispute.before)


def named(world: Hostile) -> list[str]:
    """Every attack that was made was refused by its name, and counted.

    One may have been lost on the way, or with the process that had it in hand; and a record that came late is
    no longer the first of its number.
    """

    def is_fork(deed: Deed) -> bool:
        found = (world.disputes.get((deed.victim, lane)) for lane in deed.twice)
        return any(dispute is not None and dispute.why == FORKED for dispute in found)

    return [
        f"{deed.attack.name}, made {deed.made} times to {deed.victim}, was never refused as "
        f"{deed.attack.reason.name}"
        for deed in world.thief.deeds
        if deed.made >= MADE and not deed.refused and not is_fork(deed)
    ]


def went_on(world: Hostile) -> list[str]:
    """Honest people shopped on afterwards."""
    if any(one.answer is not None for one in world.afterwards):
        return []
    return ["nothing that honest tills asked afterwards was done"]
