"""Tills that wait for an exchange with a partner, and answers to questions that no store remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from node.coalition.acquirer_facts import AcquirerExchange
from node.coalition.envelopes import Message

_Key = tuple[str, bytes]
_Watch = tuple[Callable[[AcquirerExchange], bool], asyncio.Future[AcquirerExchange]]


class TooMany(Exception):
    """More wait than the bound allows."""


class Waiting:
    """Who waits for what, at most `most` at a time. On one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._exchanges: dict[
            _Key, list[tuple[Callable[[AcquirerExchange], bool], asyncio.Future[AcquirerExchange]]]
        ]
        self._exchanges = {}
        self._questions: dict[_Key, asyncio.Future[Message]] = {}
        self._count = 0

    @contextmanager
    def watching(
        self, partner_id: str, exchange_id: bytes, arrived: Callable[[AcquirerExchange], bool]
    ) -> Iterator[asyncio.Future[AcquirerExchange]]:
        """A future of the exchange once `arrived` holds of it. Begin to watch, then ask. Raises TooMany."""
        key = (partner_id, exchange_id)
        future: asyncio.Future[AcquirerExchange] = asyncio.get_running_loop().create_future()
        watch = (arrived, future)
        self._enter()
        self._exchanges.setdefault(key, []).append(watch)
        try:
            yield future
        finally:
            self._count -= 1
            self._exchanges[key].remove(watch)
            if not self._exchanges[key]:
                del self._exchanges[key]

    @contextmanager
    def asking(self, partner_id: str, exchange_id: bytes) -> Iterator[asyncio.Future[Message]]:
        """A future of the answer to a question that is about to be sent under that id. Raises TooMany."""
        key = (partner_id, exchange_id)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._enter()
        self._questions[key] = future
        try:
            yield future
        finally:
            self._count -= 1
            if self._questions.get(key) is future:
                del self._questions[key]

    def changed(self, exchange: AcquirerExchange) -> None:
        """An exchange stands as it stands: whoever waited for that goes on."""
        for arrived, future in self._exchanges.get((exchange.partner_id, exchange.exchange_id), ()):
            if not future.done() and arrived(exchange):
                future.set_result(exchange)

    def answer(self, partner_id: str, exchange_id: bytes, message: Message) -> None:
        """A partner has answered a question; nobody may wait any more."""
        future = self._questions.get((partner_id, exchange_id))
        if future is not None and not future.done():
            future.set_result(message)

    def _enter(self) -> None:
        if self._count >= self._most:
            raise TooMany
        self._count += 1
