"""Steps on a card, and running them: ask, announce, act, ask again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from cards.apdu import CardError
from cards.keys import CardKey, gp_check_value, is_default
from cards.profiles.label import CardLabel

MAX_WRONG_KEYS = 4
"""How many wrong keys one visit may try on a card that counts them; its own limits are in the hundreds."""

Visit = TypeVar("Visit")


class CardUnexpected(CardError):
    """The card is in a state that no step of this plan leaves behind. Nothing more was done to it."""


class CardNotOurs(CardError):
    """No key of the plan, new or old, opens the card."""


class NotAccepted(CardError):
    """A card that must not leave the bureau, and why."""


class DefaultKey(NotAccepted):
    """A key that everybody knows was to be put on a card, or is on it still."""


@dataclass(frozen=True, slots=True)
class VersionedKey:
    """A key and the version by which the card names it."""

    key: CardKey
    version: int

    @property
    def check_value(self) -> bytes:
        """By which a journal names the key."""
        return gp_check_value(self.key)


@dataclass(frozen=True, slots=True)
class KeyChange:
    """Key `number` of a card: what it is, and what it shall be."""

    number: int
    old: VersionedKey
    new: VersionedKey


@dataclass(frozen=True, slots=True)
class Step(Generic[Visit]):
    """One step. `is_done` asks the card and changes nothing; `perform` brings it about.

    `key` is the key that the step puts on the card, for the journal: its version and check value, never its
    bytes.
    """

    name: str
    intent: str
    is_done: Callable[[Visit], bool]
    perform: Callable[[Visit], None]
    key: VersionedKey | None = None


class Progress(Enum):
    """What happened to a step. BEGUN must be on the disk before the card is touched."""

    ALREADY_DONE = "already done"
    BEGUN = "begun"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A line for the journal of one card."""

    step: str
    intent: str
    progress: Progress
    key_version: int | None = None
    check_value: bytes | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A card that was read back: every key opens, and a tap of it verifies."""

    uid: bytes
    label: CardLabel
    keys: tuple[tuple[int, bytes], ...]
    """Version and check value of each key, by number."""
    tap_counter: int | None = None
    """How often the address was read so far; None for cards that do not tap."""


def run_steps(
    visit: Visit, steps: Sequence[Step[Visit]], journal: Callable[[StepEvent], None] = lambda event: None
) -> None:
    """Run `steps` in order, each only if the card says that it is not done; `journal` gets every event at its
    time.

    Any `CardError` ends the run and leaves the card to the next one. `CardUnexpected` when the card took a
    step's commands and yet says that it is not done.
    """
    for step in steps:
        if step.is_done(visit):
            journal(_event(step, Progress.ALREADY_DONE))
            continue
        journal(_event(step, Progress.BEGUN))
        step.perform(visit)
        if not step.is_done(visit):
            raise CardUnexpected(
                f"{step.intent}: the card took it and yet does not show it. Put the card aside."
            )
        journal(_event(step, Progress.DONE))


def _event(step: Step[Visit], progress: Progress) -> StepEvent:
    key = step.key
    return StepEvent(
        step.name, step.intent, progress, key.version if key else None, key.check_value if key else None
    )


def refuse_default_keys(keys: Sequence[VersionedKey]) -> None:
    """`DefaultKey` if one of the keys for a card is a default one, or two of them are the same."""
    for at, one in enumerate(keys):
        if is_default(one.key):
            raise DefaultKey(
                f"Key {at} of the plan is a key that everybody knows. Nothing was sent to the card."
            )
        if any(one.key == other.key for other in keys[:at]):
            raise DefaultKey(
                f"Key {at} of the plan is the same as another one. Nothing was sent to the card."
            )
