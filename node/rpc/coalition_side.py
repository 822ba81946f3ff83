"""All of a node that has to do with partners, put together. Without a directory it does nothing."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from node.actors.abroad_trade import Trade
from node.actors.coalition_spec import CoalitionSpec, encode_spec
from node.actors.counter import Counter
from node.actors.directories import Directories
from node.actors.exchanging import Exchanging
from node.actors.lane_keeper import LaneKeeper
from node.actors.member_counter import MemberCounter
from node.actors.member_words import Words
from node.actors.messengers import messenger
from node.actors.ports import ShardHandle
from node.actors.programmes import Programmes
from node.actors.standing import Standings
from node.actors.tills_abroad import TillsAbroad
from node.config import Config
from node.identity.caller import Role
from node.identity.coalition_secrets import CoalitionSecrets
from node.identity.exchange_keys import exchange_key_pems, load_exchange_keys
from node.identity.keys import NodeSecrets
from node.identity.signers import Signer
from node.peering.relay import may_come_from
from node.people.identifiers import IdentifierKind, normalise
from node.people.invalid import Invalid
from node.programme.model import Programme
from node.rpc.coalition import CoalitionService
from node.rpc.partners import Partners
from node.rpc.settlement_side import SettlementSide
from node.storage.keyspace import partition_of
from node.telemetry import Figures
from node.wire.coalition import EnvelopeSealer
from node.wire.coalition_beside import unsealed
from node.wire.commands import AnswerKind, Command, Op
from node.wire.contacts import contact_asked, contact_from


def clock_ms() -> int:
    """The machine's clock in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class CoalitionSide:
    """Directories, exchanges, lanes and links of one node. `start` once it serves; `stop` first of all."""

    def __init__(
        self,
        config: Config,
        secrets: NodeSecrets,
        directories: Directories,
        shards: Sequence[ShardHandle],
        counter: Counter,
        members: MemberCounter,
        versions: Callable[[], Sequence[Programme]],
        figures: Figures,
    ) -> None:
        merchant = config.merchant
        own_id = self._own_id = merchant.id
        self.directories = directories
        self._shards = shards
        self._secrets = CoalitionSecrets(secrets.master_key)
        self._pems = exchange_key_pems(config.secrets_directory, secrets.node_key_uri)
        self._keys = load_exchange_keys(config.secrets_directory, secrets.node_key_uri)
        self.exchanging = Exchanging(
            own_id,
            counter.router,
            counter.resolver,
            directories,
            self.sealer,
            figures,
            clock_ms=clock_ms,
            may_carry=lambda connection, sender: may_come_from(self.partners.links.peers, connection, sender),
        )
        self.partners = Partners(
            own_id,
            secrets.authority,
            config.coalition,
            directories,
            self.exchanging,
            figures,
            self._tell_shards,
        )
        self.exchanging.links = self.partners.links
        self.exchanging.unseal = partial(unsealed, self._secrets.sealing)
        self._versions = versions
        self._compiled: tuple[int, Programmes] | None = None
        self._time_zone, self._currency = merchant.time_zone, merchant.currency
        trade = Trade(
            self.exchanging,
            self._secrets,
            self._programmes,
            currency=merchant.currency,
            currency_exponent=merchant.currency_exponent,
            language=merchant.language,
        )
        self.tills = TillsAbroad(trade, merchant.country)
        counter.abroad = self.tills
        self._members, self._region = members, merchant.country
        sending = messenger(config.coalition.message_gateway, Path(config.coalition.message_file))
        self.words = Words(directories, sending, self._contact, merchant.language)
        self.exchanging.told = self.words.tell
        self.keeper = LaneKeeper(self.exchanging, random.Random())  # noqa: S311 - jitter, no secret
        self.standings = Standings(self.exchanging, figures)
        self.settlement = SettlementSide(
            own_id, directories.store, self.exchanging, secrets.authority, self._signer_at, clock_ms
        )

    def service(self) -> CoalitionService:
        """What the merchant's own people ask about the coalition."""
        return CoalitionService(self.exchanging, self.partners, self._members, self._secrets, self.standings)

    def _programmes(self) -> Programmes:
        """The versions of this moment, compiled anew only after another was published."""
        versions = self._versions()
        if self._compiled is None or self._compiled[0] != len(versions):
            made = Programmes(versions, tz=self._time_zone, currency=self._currency)
            self._compiled = (len(versions), made)
        return self._compiled[1]

    async def _tell_shards(self) -> None:
        """Gives every shard the directories that this node follows, and the keys that sign for it."""
        known = self.directories.known
        assert known is not None
        data = tuple(one.data for one in known.accepted)
        spec = encode_spec(CoalitionSpec(self._own_id, data, self._pems))
        await asyncio.gather(*(shard.join(spec) for shard in self._shards))

    async def start(self) -> str:
        """Listens and dials; gives the address where partners dial, empty where they cannot."""
        address = await self.partners.start()
        self.keeper.start()
        self.standings.start()
        self.settlement.start()
        return address

    async def stop(self) -> None:
        """Lets go of all partners."""
        await self.settlement.stop()
        await self.standings.stop()
        await self.keeper.stop()
        await self.partners.stop()
        await self.words.stop()

    async def _contact(self, account_id: bytes) -> tuple[str, str]:
        """Where a member is reached, and in which language."""
        router = self.exchanging.router
        partition, author = partition_of(account_id, router.partitions), f"{Role.ADMIN.value}:coalition"
        body = contact_asked(account_id)
        answer = await router.ask(
            Command(Op.GET_MEMBER, partition, account_id, b"", author, "", author, "", body)
        )
        phone, language = contact_from(answer.body) if answer.kind == AnswerKind.DONE else ("", "")
        normal = normalise(IdentifierKind.PHONE, phone, region=self._region)
        return (phone if isinstance(normal, Invalid) else normal.text), language

    def sealer(self) -> EnvelopeSealer:
        """Signs with whichever of the node's keys the newest directory admits at that time."""
        known = self.directories.known
        assert known is not None, "without a directory there is nobody to say anything to"
        return EnvelopeSealer(known.coalition_id, self._own_id, self._signer_at)

    def _signer_at(self, at_ms: int) -> Signer:
        known = self.directories.known
        return self._keys.valid_one(
            lambda uri: known is not None and known.may_sign(self._own_id, uri, at_ms)
        )
