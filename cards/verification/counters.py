"""Transaction counters of sales that were proved offline, and so may come in another order than they were
made.
"""

from dataclasses import dataclass

WINDOW = 64
"""How many counters behind the highest one may still come. Till after till comes online late, but not for
ever.
"""
MAX_COUNTER = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class CounterWindow:
    """The highest counter seen, and which of those just before it: bit 0 of `seen` is the highest itself."""

    highest: int = 0
    seen: int = 0

    def has(self, counter: int) -> bool:
        """Whether `counter` was used, or is so old that it might have been."""
        if counter > self.highest:
            return False
        behind = self.highest - counter
        return counter <= 0 or behind >= WINDOW or bool(self.seen >> behind & 1)

    def with_counter(self, counter: int) -> "CounterWindow":
        """The window after `counter` was used; `ValueError` if it was before, which the caller has asked
        already.
        """
        if self.has(counter) or counter > MAX_COUNTER:
            raise ValueError("this counter was used before")
        if counter > self.highest:
            mask = (1 << WINDOW) - 1
            return CounterWindow(counter, (self.seen << min(counter - self.highest, WINDOW) & mask) | 1)
        return CounterWindow(self.highest, self.seen | 1 << (self.highest - counter))
