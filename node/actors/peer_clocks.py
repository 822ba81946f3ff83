"""Whose clock is wrong, from what partners say: every message carries its sender's clock.

A message that was sent again, or was long on its way, looks older than it is and never younger. So of all
that came in the last minutes the one that looks youngest says most.
"""

from __future__ import annotations

REMEMBERED_MS = 600_000


class PeerClocks:
    """How far each partner's clock is ahead of ours; behind where negative."""

    def __init__(self) -> None:
        # By partner: since when, the youngest in that time, and the youngest in the time before.
        self._heard: dict[str, tuple[int, int, int]] = {}

    def heard(self, partner_id: str, issue_ms: int, now_ms: int) -> None:
        """Notes a message whose signature holds: when it was issued, and when it came."""
        ahead_ms = issue_ms - now_ms
        since_ms, youngest, before = self._heard.get(partner_id, (now_ms, ahead_ms, ahead_ms))
        if now_ms - since_ms > REMEMBERED_MS:
            since_ms, youngest, before = now_ms, ahead_ms, youngest
        self._heard[partner_id] = since_ms, max(youngest, ahead_ms), before

    def ahead_ms(self, partner_id: str, now_ms: int) -> int | None:
        """The partner's clock less ours, at least; None where nothing was heard of late."""
        found = self._heard.get(partner_id)
        if found is None or now_ms - found[0] > 2 * REMEMBERED_MS:
            return None
        return max(found[1], found[2])
