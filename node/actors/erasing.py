"""Erasures that a restore brought back to be done once more.

A backup knows nothing of who was erased after it was made. The restore destroys those persons' keys again;
what it cannot do without the books is to end their identifiers. That is done here, through the same door as
any erasure, before the node serves: until then an erased person's phone would still find somebody.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence

import structlog

from node.actors.linking import Linking
from node.actors.member_counter import MemberCounter
from node.identity.caller import Caller
from node.wire.commands import Answer, AnswerKind, Op
from node.wire.members import erase_request

CONCURRENT = 64
"""Erasures under way at a time."""

log = structlog.get_logger()


class Erasing:
    """Repeats erasures. `pending` lists the persons (16-byte ids), `settled` is told of each that is done.

    `caller` is who the journal names as the one that asked.
    """

    def __init__(
        self,
        members: MemberCounter,
        linking: Linking,
        pending: Callable[[], Sequence[bytes]],
        settled: Callable[[bytes], None],
        caller: Caller,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._members = members
        self._linking = linking
        self._pending = pending
        self._settled = settled
        self._caller = caller
        self._clock = clock

    async def run(self) -> None:
        """Erases those who are listed. What cannot be done now is logged, and waits for the next run."""
        pending = self._pending()
        left = 0
        for start in range(0, len(pending), CONCURRENT):
            some = pending[start : start + CONCURRENT]
            left += (await asyncio.gather(*map(self._erase, some))).count(False)
        if pending:
            log.info("erased_again", persons=len(pending) - left, left=left)

    async def _erase(self, person_id: bytes) -> bool:
        """One person, whose id is that of their account; says whether that is settled."""
        view = await self._linking.probe(person_id)
        if isinstance(view, Answer):
            done = False  # set aside, or the clock stands behind: what passes
        elif view is None:
            done = True  # enrolled after the backup was made: the restored books do not know them
        elif view.erased:
            async with self._linking.alone(person_id):
                done = await self._linking.agree(person_id)
        else:
            body = erase_request(person_id, f"restore-{uuid.uuid4().hex}", self._clock())
            answer = await self._members.ask(self._caller, Op.ERASE_PERSON, body, uuid.uuid4().hex)
            done = answer.kind == AnswerKind.DONE
        if done:
            self._settled(person_id)
        return done
