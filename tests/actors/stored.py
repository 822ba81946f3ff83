"""What a node's stores hold, for tests to look at, and what must hold of it whenever the node is quiet."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Sequence

from node.actors.shard import Shard
from node.ledger.account import Account, AccountKind
from node.ledger.postings import IN_TRANSIT, MEMBER
from node.storage import keyspace
from node.storage.keyspace import Kind
from node.storage.memory import MemoryStore
from node.wire import records

PARTITIONS = 8


class Stored:
    """The stores of some shards, which host the partitions in turn."""

    stores: list[MemoryStore]
    shards: Sequence[Shard]

    def stored(self, kind: Kind) -> Iterator[tuple[bytes, bytes]]:
        """Everything of one kind in all stores."""
        for number in range(PARTITIONS):
            store = self.stores[number % len(self.stores)]
            yield from store.scan(*keyspace.kind_range(number, kind))

    def everything(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys and values of all stores."""
        for store in self.stores:
            yield from store.scan(b"\x00", b"\xff" * 9)

    def accounts(self) -> dict[str, Account]:
        """All accounts by id."""
        found = (records.ACCOUNT.decode(value) for _, value in self.stored(Kind.ACCOUNT))
        return {account.account_id.hex(): account for account in found}

    def owners(self) -> dict[bytes, list[tuple[str, bool]]]:
        """Who owns each identifier now, by digest: (account, confirmed)."""
        owned: dict[bytes, list[tuple[str, bool]]] = {}
        for key, value in self.stored(Kind.IDENTIFIER):
            for owner in records.INDEX.decode(value).owners:
                if not owner.until_ms:
                    owned.setdefault(key[2:], []).append((owner.account_id.hex(), owner.confirmed))
        return owned

    def assert_whole(self) -> None:
        """Nothing is under way, index and accounts agree, pools and holders agree, the books sum to zero."""
        assert list(self.stored(Kind.OUTBOX)) == []
        accounts = self.accounts()
        linked = {
            link.digest: [(name, True)]
            for name, account in accounts.items()
            for link in account.links
            if not link.until_ms
        }
        assert self.owners() == linked
        for name, account in accounts.items():
            assert not account.sending
            if account.pool_id:
                assert bytes.fromhex(name) in accounts[account.pool_id.hex()].holders
            if account.kind is AccountKind.POOL:
                assert all(accounts[holder.hex()].pool_id.hex() == name for holder in account.holders)
        self.assert_balanced()
        assert all(units == 0 for (book, _), units in self.books().items() if book == IN_TRANSIT)

    def assert_balanced(self) -> None:
        """Every partition's books sum to zero, and the members' book is what the accounts hold."""
        for shard in self.shards:
            for partition in shard.partitions.values():
                assert set(partition.books.sums().values()) <= {0}
        held: Tally[str] = Tally()
        for account in self.accounts().values():
            for code, purse in account.purses.items():
                held[code] += purse.owned
        books = self.books()
        assert {code: units for code, units in held.items() if units} == {
            code: units for (book, code), units in books.items() if book == MEMBER and units
        }

    def books(self) -> dict[tuple[str, str], int]:
        """The books of all partitions together."""
        together: Tally[tuple[str, str]] = Tally()
        for shard in self.shards:
            for partition in shard.partitions.values():
                for book, units in partition.books.units.items():
                    together[book] += units
        return together
