"""What members are told of their spends abroad: the code with which they agree, and that it was done.

Both name the acquirer and the amount. A code protects only whoever reads those words: so they come first,
and the code last. A code is waited for at a till and leaves at once. That something was spent is told in the
order in which it was, many at a time, and no till waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from node.actors.directories import Directories
from node.actors.messengers import SENT_AT_ONCE, MemberMessage, Messenger
from node.people.identifiers import IdentifierKind
from node.wire.coalition_records import CodeToSend, Outcome, SpendNotice

_CODE_WORDS = {
    "fa": "{acquirer} می‌خواهد تا {amount} {purse} شما را خرج کند. "
    "اگر موافقید این کد را به صندوقدار بگویید: {code}",
    "ar": "يطلب {acquirer} إنفاق ما يصل إلى {amount} {purse} من رصيدك. "
    "إن وافقت فأخبر أمين الصندوق بهذا الرمز: {code}",
    "en": "{acquirer} asks to spend up to {amount} {purse} of yours. "
    "If you agree, tell the cashier this code: {code}",
}
_SPENT_WORDS = {
    "fa": "{amount} {purse} شما در {acquirer} خرج شد. اگر شما نبودید، به فروشگاه خود خبر دهید.",
    "ar": "أُنفق {amount} {purse} من رصيدك لدى {acquirer}. إن لم تكن أنت فأبلغ متجرك.",
    "en": "{amount} {purse} of yours were spent at {acquirer}. If that was not you, tell your merchant.",
}

MAX_NOTICES = 10_000
"""Spends that members are still to hear of; beyond it one is not told, and the log says so."""
LINGER_SECONDS = 2.0
"""How long a node that stops goes on telling."""

Reach = Callable[[bytes], Awaitable[tuple[str, str]]]
"""Where an account's person is reached, and in which language; empty where that is not known."""

log = structlog.get_logger()


class Words:
    """Tells members. `reach` looks up where a member is reached who showed no phone number."""

    def __init__(self, directories: Directories, sending: Messenger, reach: Reach, language: str) -> None:
        self._directories = directories
        self._messenger = sending
        self._reach = reach
        self._language = language
        self._codes: set[asyncio.Task[None]] = set()
        self._notices: deque[SpendNotice] = deque()
        self._telling: asyncio.Task[None] | None = None

    def tell(self, outcome: Outcome) -> None:
        """Sends in the background: a partner's message is not answered later for it."""
        for code in outcome.codes:
            shown = code.identifier if code.identifier_kind == IdentifierKind.PHONE else ""
            self._start(self._send_code(code, shown))
        for notice in outcome.notices:
            if len(self._notices) >= MAX_NOTICES:
                log.warning("message_not_sent", problem="too many messages wait")
                continue
            self._notices.append(notice)
        if self._notices and self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell_on())

    async def stop(self) -> None:
        """Returns once nothing is on its way any more, or a little later."""
        running = self._codes | ({self._telling} if self._telling else set())
        if running:
            await asyncio.wait(running, timeout=LINGER_SECONDS)
        if self._notices:
            log.warning("messages_not_sent", problem="the node stops", messages=len(self._notices))

    async def _tell_on(self) -> None:
        """Tells what waits until nothing does: what came while the last ones left are the next ones."""
        while self._notices:
            taken = [self._notices.popleft() for _ in range(min(len(self._notices), SENT_AT_ONCE))]
            await asyncio.gather(*map(self._send_notice, taken))
        self._telling = None

    def _start(self, sending: Coroutine[Any, Any, None]) -> None:
        if len(self._codes) >= SENT_AT_ONCE:
            sending.close()
            log.warning("message_not_sent", problem="too many messages are on their way")
            return
        task = asyncio.get_running_loop().create_task(sending)
        self._codes.add(task)
        task.add_done_callback(self._codes.discard)

    async def _send_code(self, code: CodeToSend, shown: str) -> None:
        about = f"confirmation code for {code.acquirer_id}"
        words = {"acquirer_id": code.acquirer_id, "units": code.ceiling_units, "code": code.code}
        await self._send(code.account_id, shown, about, _CODE_WORDS, words)

    async def _send_notice(self, notice: SpendNotice) -> None:
        about = f"spent at {notice.acquirer_id}"
        words = {"acquirer_id": notice.acquirer_id, "units": notice.units, "code": ""}
        await self._send(notice.account_id, "", about, _SPENT_WORDS, words)

    async def _send(
        self, account_id: bytes, shown: str, about: str, texts: dict[str, str], words: dict[str, Any]
    ) -> None:
        try:
            address, language = await self._reach(account_id)
            address = shown or address  # what they showed is where they read
            if not address:
                log.warning("message_not_sent", problem="no phone number of the member's is known")
                return
            text = self._text(texts, language or self._language, **words)
            await self._messenger.send(MemberMessage(account_id, address, text, about))
        except OSError as failed:
            log.error("message_not_sent", problem=str(failed))
        except Exception as fault:  # by kind alone: its text may quote the member
            log.error("message_not_sent", problem=type(fault).__name__)

    def _text(self, texts: dict[str, str], language: str, *, acquirer_id: str, units: int, code: str) -> str:
        known = self._directories.known
        assert known is not None, "partners are those of a directory"
        directory, tongue = known.newest, language.partition("-")[0].lower()
        acquirer = directory.partner(acquirer_id)
        names = dict(directory.purse.names)
        return texts.get(tongue, texts["en"]).format(
            acquirer=acquirer.name if acquirer else acquirer_id,
            amount=_amount(units, directory.purse.exponent),
            purse=names.get(tongue) or names.get("en") or directory.purse.code,
            code=code,
        )


def _amount(units: int, exponent: int) -> str:
    if not exponent:
        return str(units)
    return f"{units // 10**exponent}.{units % 10**exponent:0{exponent}d}"
