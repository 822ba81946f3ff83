"""Confirmation codes on their way to members: in words that name the acquirer and the amount.

The code protects only whoever reads those words: so they come first, and the code last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from node.actors.directories import Directories
from node.actors.messengers import SENT_AT_ONCE, MemberMessage, Messenger
from node.people.identifiers import IdentifierKind
from node.wire.coalition_records import CodeToSend

_WORDS = {
    "fa": "{acquirer} می‌خواهد تا {amount} {purse} شما را خرج کند. "
    "اگر موافقید این کد را به صندوقدار بگویید: {code}",
    "ar": "يطلب {acquirer} إنفاق ما يصل إلى {amount} {purse} من رصيدك. "
    "إن وافقت فأخبر أمين الصندوق بهذا الرمز: {code}",
    "en": "{acquirer} asks to spend up to {amount} {purse} of yours. "
    "If you agree, tell the cashier this code: {code}",
}

Reach = Callable[[bytes], Awaitable[tuple[str, str]]]
"""Where an account's person is reached, and in which language; empty where that is not known."""

log = structlog.get_logger()


class Codes:
    """Sends codes. `reach` looks up a member whose shown identifier is no phone number."""

    def __init__(self, directories: Directories, sending: Messenger, reach: Reach, language: str) -> None:
        self._directories = directories
        self._messenger = sending
        self._reach = reach
        self._language = language
        self._running: set[asyncio.Task[None]] = set()

    def send(self, codes: Sequence[CodeToSend]) -> None:
        """Sends codes in the background: a partner's question is not answered later for it."""
        for code in codes:
            if len(self._running) >= SENT_AT_ONCE:
                log.warning("code_not_sent", problem="too many messages are on their way")
                return
            task = asyncio.get_running_loop().create_task(self._send(code))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def stop(self) -> None:
        """Returns once nothing is on its way any more, or a little later."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=2.0)

    async def _send(self, code: CodeToSend) -> None:
        try:
            address, language = await self._reach(code.account_id)
            if code.identifier_kind == IdentifierKind.PHONE:
                address = code.identifier  # what they showed is where they read
            if not address:
                log.warning("code_not_sent", problem="no phone number of the member's is known")
                return
            text = self._text(code, language or self._language)
            about = f"confirmation code for {code.acquirer_id}"
            await self._messenger.send(MemberMessage(code.account_id, address, text, about))
        except OSError as failed:
            log.error("code_not_sent", problem=str(failed))
        except Exception as fault:  # by kind alone: its text may quote the member
            log.error("code_not_sent", problem=type(fault).__name__)

    def _text(self, code: CodeToSend, language: str) -> str:
        known = self._directories.known
        assert known is not None, "a code is asked for by a partner"
        directory, tongue = known.newest, language.partition("-")[0].lower()
        acquirer = directory.partner(code.acquirer_id)
        names = dict(directory.purse.names)
        return _WORDS.get(tongue, _WORDS["en"]).format(
            acquirer=acquirer.name if acquirer else code.acquirer_id,
            amount=_amount(code.ceiling_units, directory.purse.exponent),
            purse=names.get(tongue) or names.get("en") or directory.purse.code,
            code=code.code,
        )


def _amount(units: int, exponent: int) -> str:
    if not exponent:
        return str(units)
    return f"{units // 10**exponent}.{units % 10**exponent:0{exponent}d}"
