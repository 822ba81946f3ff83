"""The coalition: the directory that the node follows, and how it stands with each partner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from node import installation
from node.cli.connection import CallFailed, connected
from node.cli.diagnosis.finding import Finding, ok, warn, wrong
from node.cli.stores import followed_directory
from node.coalition.directory import Directory, Partner, PartnerStatus
from node.config import Config
from node.identity.coalition_secrets import CoalitionSecrets
from node.identity.exchange_keys import load_exchange_keys
from node.identity.keys import KeyUnusable, NodeSecrets
from node.proto.vafa.coalition.v1 import coalition_service_pb2 as pb
from node.proto.vafa.coalition.v1 import coalition_service_pb2_grpc
from node.proto.vafa.programme.v1 import programme_service_pb2 as programme_pb
from node.proto.vafa.programme.v1 import programme_service_pb2_grpc
from node.storage.store import StoreError
from node.wire.coalition_directory import read_directory

DEADLINE_SECONDS = 10.0
DAY_MS = 86_400_000
CALENDAR_WARN_DAYS = 30
"""Before the last published window ends."""
KEY_WARN_DAYS = 30
CAP_WARN_PERCENT = 80
WAITING_WARN_MS = 3_600_000
"""How long a partner may take to answer an exchange, before it is said."""
CLOCK_WARN_MS = 30_000

_ASK = "Make a join request (`vafa join COALITION`) and have the operator admit it and publish."


def running(
    path: Path, address: str, config: Config, secrets: NodeSecrets | None, now_ms: int
) -> Iterator[Finding]:
    """What the running node says of its coalition; nothing where it is in none, or does not answer."""
    try:
        with connected(path, address, None) as channel:
            stub = coalition_service_pb2_grpc.CoalitionServiceStub(channel)
            answer = stub.GetCoalition(pb.GetCoalitionRequest(), timeout=DEADLINE_SECONDS)
            if not answer.HasField("signed_directory"):
                return
            data = answer.signed_directory.SerializeToString(deterministic=True)
            followed = read_directory(data).directory
            yield from directory(followed, config, secrets, now_ms)
            yield from _purse(programme_service_pb2_grpc.ProgrammeServiceStub(channel), followed)
            yield from partners(followed, answer.links, config, now_ms)
    except (CallFailed, KeyUnusable):
        return  # that the node does not answer has been said


def stopped(config: Config, secrets: NodeSecrets | None, now_ms: int) -> Iterator[Finding]:
    """What the control store of a stopped node says of its coalition."""
    try:
        followed = followed_directory(installation.control_directory(config))
    except StoreError:
        return  # that the store does not open has been said
    if followed is not None:
        yield from directory(followed, config, secrets, now_ms)


def directory(
    followed: Directory, config: Config, secrets: NodeSecrets | None, now_ms: int
) -> Iterator[Finding]:
    """Whether the directory will be good for a while, and this node has its place in it."""
    last = followed.windows[-1] if followed.windows else None
    said = (
        f"Version {followed.version} of {followed.coalition_id}, published {_day(followed.publish_time_ms)}"
    )
    if last is None or last.cut_time_ms <= now_ms:
        yield wrong(
            "directory",
            f"{said}: its calendar of windows has ended. Nothing can be posted abroad.",
            "Ask the operator for a newer one, then: vafa join --directory FILE",
        )
    elif last.cut_time_ms - now_ms < CALENDAR_WARN_DAYS * DAY_MS:
        yield warn(
            "directory",
            f"{said}: its last window ends {_day(last.cut_time_ms)}.",
            "Ask the operator to publish again, and see that directory_file or partners bring it.",
        )
    else:
        yield ok("directory", f"{said}; its windows reach {_day(last.cut_time_ms)}.")
    own = followed.partner(config.merchant.id)
    if own is None:
        yield wrong("coalition", f"{config.merchant.id} is not in the directory.", _ASK)
        return
    yield from _own(own, config, secrets, now_ms)
    yield from _others_keys(followed, own, now_ms)


def _own(own: Partner, config: Config, secrets: NodeSecrets | None, now_ms: int) -> Iterator[Finding]:
    if own.status is not PartnerStatus.ACTIVE:
        yield warn("coalition", f"The directory says that {own.partner_id} is {own.status.name.lower()}.",
                   "Nothing new is spent. Speak with the operator.")  # fmt: skip
    if own.partitions != config.storage.partitions:
        yield wrong(
            "coalition",
            f"The directory says {own.partitions} partitions, vafa.toml {config.storage.partitions}: "
            "partners take nothing.",
            _ASK,
        )
    if not own.ranges:
        yield warn("coalition", "No identifiers are ours in the directory: our members stay at home.", _ASK)
    if secrets is None:
        return
    keys = load_exchange_keys(config.secrets_directory, secrets.node_key_uri)
    ends = [
        key.not_after_ms
        for uri in keys.uris
        if (key := own.key(uri)) is not None and key.not_before_ms <= now_ms
    ]
    lasting = max((end or 1 << 62 for end in ends), default=0)
    if lasting <= now_ms:
        yield wrong(
            "exchange keys", "The directory admits none of this node's keys now: nothing can be signed.", _ASK
        )
    elif lasting - now_ms < KEY_WARN_DAYS * DAY_MS:
        yield warn(
            "exchange keys", f"The last of our keys ends {_day(lasting)}.", "Run: vafa join … --new-key"
        )
    else:
        yield ok("exchange keys", "The directory admits a key of this node's.")
    if own.sealing_key != CoalitionSecrets(secrets.master_key).sealing.uri and own.relay_partner_id:
        yield warn(
            "exchange keys",
            "The directory has another key than ours for what relays carry sealed: it does not open here.",
            _ASK,
        )


def _others_keys(followed: Directory, own: Partner, now_ms: int) -> Iterator[Finding]:
    """Partners of whom no message can be believed soon."""
    for partner in followed.partners:
        if partner is own or partner.status is PartnerStatus.LEFT:
            continue
        lasting = max((key.not_after_ms or 1 << 62 for key in partner.keys), default=0)
        if lasting - now_ms < KEY_WARN_DAYS * DAY_MS:
            text = f"The last key of {partner.partner_id} {'ended' if lasting <= now_ms else 'ends'} "
            yield warn(
                "partners", f"{text}{_day(lasting)}.", "It needs a new one: vafa join … --new-key there."
            )


def _purse(stub: programme_service_pb2_grpc.ProgrammeServiceStub, followed: Directory) -> Iterator[Finding]:
    answer = stub.GetProgramme(programme_pb.GetProgrammeRequest(), timeout=DEADLINE_SECONDS)
    code = followed.purse.code
    if code not in {purse.code for purse in answer.programme.purses}:
        yield wrong(
            "programme",
            f"The programme has no purse {code!r}: no member earns or spends abroad.",
            "Add it and publish: vafa programme publish.",
        )


def partners(
    followed: Directory, links: Iterable[pb.PartnerLink], config: Config, now_ms: int
) -> Iterator[Finding]:
    """How the node stands with each partner; one line where all is well with it."""
    for link in links:
        partner = followed.partner(link.partner_id)
        if partner is None:
            continue
        found = list(_partner(partner, link, now_ms))
        yield from found
        if not found:
            yield ok(
                "partners",
                f"{link.partner_id}, {partner.status.name.lower()}: connected, {len(link.lanes)} lanes open, "
                f"{_used(link.used_units, link.cap_units)} of our cap used, "
                f"{_used(link.partner_used_units, link.partner_cap_units)} of theirs.",
            )
    if followed.partners and config.coalition.message_gateway == "none":
        yield warn(
            "messages",
            "No message gateway is set up: our members get no codes and are not told of spends abroad.",
            "Set message_gateway in vafa.toml.",
        )


def _partner(partner: Partner, link: pb.PartnerLink, now_ms: int) -> Iterator[Finding]:
    name = partner.partner_id
    aside = [lane for lane in link.lanes if lane.dispute]
    for lane in aside:
        which = f"{name}{'' if lane.home else ' --abroad'} --lane {lane.lane}"
        yield wrong(
            "lanes",
            f"Lane {lane.lane} with {name} is set aside at record {lane.number}: {lane.dispute}. "
            "Nothing more is exchanged on it.",
            f"vafa lane show {which}; vafa lane proof {which}",
        )
    if not link.connected:
        where = ", ".join(partner.endpoints)
        if partner.status is not PartnerStatus.LEFT:
            yield warn(
                "partners",
                f"{name} is not connected. Its members cannot spend here, nor ours there.",
                f"It is dialled at {where}; is that right, and open?"
                if where
                else "It only dials: is our peer_listen open to it, at the endpoint in the directory?",
            )
    else:
        shut = [lane for lane in link.lanes if not lane.open and not lane.dispute]
        if shut:
            yield warn(
                "lanes",
                f"{len(shut)} of {len(link.lanes)} lanes with {name} wait for HELLO or missing records.",
                "They open within a minute of a start. If they stay shut, the logs of both nodes say why.",
            )
    oldest_ms = link.oldest_exchange_time.ToMilliseconds()
    if link.waiting_exchanges and now_ms - oldest_ms > WAITING_WARN_MS:
        yield warn(
            "partners",
            f"{link.waiting_exchanges} exchanges wait for {name}, the oldest since {_day(oldest_ms)}.",
            "They are kept and asked for until it answers.",
        )
    yield from _caps(name, link)
    if link.clock_known and abs(link.clock_ahead_ms) > CLOCK_WARN_MS:
        side = "ahead of" if link.clock_ahead_ms > 0 else "behind"
        yield warn(
            "clock",
            f"The clock of {name} is {abs(link.clock_ahead_ms) // 1000} s {side} ours: beyond a few minutes "
            "neither takes what the other signs.",
            "See which one is wrong, and keep both right by NTP.",
        )


def _caps(name: str, link: pb.PartnerLink) -> Iterator[Finding]:
    ours = (link.used_units, link.cap_units, f"we may owe {name}", "what would make us owe more")
    theirs = (
        link.partner_used_units, link.partner_cap_units, f"{name} may owe us", "what would make it owe more",
    )  # fmt: skip
    for used, cap, who, stops in (ours, theirs):
        if used > 0 and used * 100 >= cap * CAP_WARN_PERCENT:
            yield warn(
                "caps",
                f"{used} of the {cap} units that {who} are used. At the cap {stops} is refused at the tills.",
                "The next settlement frees it; or the operator raises the cap.",
            )


def _used(used: int, cap: int) -> str:
    return f"{max(0, used) * 100 // cap if cap else 0} %"


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d")
