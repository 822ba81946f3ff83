"""The versions of a merchant's issuer key that are accepted while cards in the field are rotated: N and
N-1.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from cards.keys.hierarchy import Domain, IssuerKey


@dataclass(frozen=True, slots=True)
class KeyRing:
    """A merchant's current issuer key of one domain, and the one before it while its cards are still
    about.
    """

    current: IssuerKey
    previous: IssuerKey | None = None

    def __post_init__(self) -> None:
        if self.previous is None:
            return
        same = (self.previous.merchant, self.previous.domain) == (self.current.merchant, self.current.domain)
        if not same or self.previous.version != self.current.version - 1:
            raise ValueError(
                "beside a current key stands only the version before it, of the same merchant and domain"
            )

    @property
    def merchant(self) -> str:
        """Whose keys these are."""
        return self.current.merchant

    @property
    def domain(self) -> Domain:
        """What they are for."""
        return self.current.domain

    def __iter__(self) -> Iterator[IssuerKey]:
        yield self.current
        if self.previous is not None:
            yield self.previous

    def of_version(self, version: int) -> IssuerKey | None:
        """The issuer key of `version`, or None when that is no longer, or not yet, accepted."""
        return next((key for key in self if key.version == version), None)
