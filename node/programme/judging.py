"""Whether a rule's hours and condition let it apply, for one purchase or activity.

The values that conditions read are turned into CEL values once an evaluation, and only if a condition asks.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import cel
from msgspec import Struct

from node.ledger.days import local_minute_of_day
from node.programme.conditions import Trouble, new_context
from node.programme.plan import Rule, RuleToday
from node.programme.variables import FieldName, Scene, read

OUTSIDE_HOURS = "outside the rule's hours"
CONDITION_FALSE = "the condition is not met"
MAX_VERDICTS = 4_096
_BROKEN = "the condition is not one that this node understands"
_UNREADABLE = "the purchase or activity holds a value that conditions cannot read"


class ConditionFault(Struct, frozen=True):
    """A condition that could not be judged: whose, why, and how often since the programme was loaded."""

    rule: str
    trouble: str
    count: int


class Faults:
    """Counts conditions that could not be judged. A note for the operator; no answer depends on it."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def note(self, rule: str, trouble: str) -> None:
        """Counts one; `trouble` is one of a few fixed sentences, so that the notes are bounded."""
        self._counts[rule, trouble] = self._counts.get((rule, trouble), 0) + 1

    def listed(self) -> tuple[ConditionFault, ...]:
        """All of them so far, by rule."""
        return tuple(ConditionFault(*key, count) for key, count in sorted(self._counts.items()))


class Verdicts:
    """What conditions answered before for the same values: most sales look alike to them.

    A condition is a function of the fields that it reads, so its answer may be kept by their values. Bounded:
    a full store is emptied, since those that matter are soon there again.
    """

    __slots__ = ("_asked", "_known")

    def __init__(self) -> None:
        self._known: dict[Hashable, bool] = {}
        self._asked: Hashable = None

    def find(self, rule: Rule, scene: Scene) -> bool | None:
        """The answer for this scene, or None; `keep` then takes what was found out."""
        condition = rule.condition
        assert condition is not None
        self._asked = None
        try:
            values = read(scene, condition.fields).values()
            key = (rule.code, *[tuple(one) if isinstance(one, list) else one for one in values])
            known = self._known.get(key)
        except (ValueError, TypeError, ArithmeticError):  # a map, or a value that conditions cannot read
            return None
        self._asked = key
        return known

    def keep(self, answer: bool) -> None:
        """Keeps the answer to what was last asked for."""
        if self._asked is not None:
            if len(self._known) >= MAX_VERDICTS:
                self._known.clear()
            self._known[self._asked] = answer


class Judge:
    """Judges the rules of one evaluation; see `objection`."""

    __slots__ = ("_context", "_faults", "_fields", "_minute", "_scene", "_verdicts")

    def __init__(
        self, scene: Scene, fields: Iterable[FieldName], faults: Faults, verdicts: Verdicts | None = None
    ) -> None:
        self._scene = scene
        self._fields = fields
        self._faults = faults
        self._verdicts = verdicts
        self._context: cel.Context | None = None
        self._minute = -1

    def admits(self, today: RuleToday) -> bool:
        """Whether the rule may apply at this time and under these conditions."""
        return not self.objection(today)

    def objection(self, today: RuleToday) -> str:
        """Why the rule may not apply, in a few words; "" where it may."""
        if today.spans is not None and not self._open_now(today):
            return OUTSIDE_HOURS
        rule = today.rule
        if rule.condition is None:
            return self._fault(rule.code, _BROKEN) if rule.broken else ""
        if self._verdicts is not None:
            known = self._verdicts.find(rule, self._scene)
            if known is not None:
                return "" if known else CONDITION_FALSE
        if self._context is None:
            try:
                self._context = new_context(read(self._scene, self._fields))
            except (ValueError, TypeError, ArithmeticError):  # no CEL value: a lone surrogate, beyond 64 bits
                return self._fault(rule.code, _UNREADABLE)
        answer = rule.condition.judge(self._context)
        if isinstance(answer, Trouble):
            return self._fault(rule.code, answer)
        if self._verdicts is not None:
            self._verdicts.keep(answer)
        return "" if answer else CONDITION_FALSE

    def _open_now(self, today: RuleToday) -> bool:
        if self._minute < 0:
            self._minute = local_minute_of_day(self._scene.occurred_ms, self._scene.tz)
        return any(start <= self._minute < end for start, end in today.spans or ())

    def _fault(self, rule: str, trouble: str) -> str:
        self._faults.note(rule, trouble)
        return trouble
