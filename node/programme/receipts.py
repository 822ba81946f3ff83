"""Words for the receipt: the best language, with the number of units put in."""

from __future__ import annotations

from node.programme.model import ReceiptText

PLACEHOLDER = "{units}"
MAX_LOCALES = 64
"""Locales whose nearest words are remembered; members of one merchant have a handful."""


class ReceiptWords:
    """A rule's words by language, compiled. `exponent` is the purse's: 150 units may read "1.50"."""

    __slots__ = ("_by_tag", "_default", "_nearest_of", "_scale", "_width")

    def __init__(self, texts: ReceiptText, exponent: int) -> None:
        self._by_tag = {tag.lower(): text for tag, text in texts}
        self._default = texts[0][1] if texts else ""
        self._nearest_of: dict[str, tuple[str, ...]] = {}
        self._scale = 10**exponent
        self._width = exponent

    def __bool__(self) -> bool:
        return bool(self._by_tag)

    def say(self, units: int, locale: str) -> str:
        """The words for `locale`, the closest there is, or else the first; "" where the rule has none.

        The closest is the longest tag that `locale` begins with, else one of the same language (RFC 4647,
        look-up): fa-IR is served by fa, and fa by fa-AF where there is nothing nearer.
        """
        around = self._nearest_of.get(locale)
        if around is None:
            around = self._remember(locale)
        return self._number(units).join(around)

    def _remember(self, locale: str) -> tuple[str, ...]:
        """The words for a locale, cut where the number goes; kept, since nearly all sales want the same."""
        text = self._nearest(locale.lower()) if locale and len(self._by_tag) > 1 else self._default
        if len(self._nearest_of) >= MAX_LOCALES:
            self._nearest_of.clear()
        around = self._nearest_of[locale] = tuple(text.split(PLACEHOLDER))
        return around

    def _nearest(self, locale: str) -> str:
        wanted = locale.split("-")
        for length in range(len(wanted), 0, -1):
            found = self._by_tag.get("-".join(wanted[:length]))
            if found is not None:
                return found
        cousins = (text for tag, text in self._by_tag.items() if tag.split("-", 1)[0] == wanted[0])
        return next(cousins, self._default)

    def _number(self, units: int) -> str:
        if not self._width:
            return str(units)
        whole, part = divmod(units, self._scale)
        return f"{whole}.{part:0{self._width}}"
