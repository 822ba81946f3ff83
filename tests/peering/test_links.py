"""Links between nodes over loopback TLS: whoever dials, both can speak; one partner never harms another."""

import asyncio

import grpc
import pytest

from node.identity.ca import issue_client_certificate, new_authority, signing_request
from node.identity.caller import Caller, Role
from node.identity.keys import new_tls_key, private_key_pem
from node.identity.peers import peer_host_name
from node.peering.channels import dial, link_call, unary
from node.peering.link import UNDER_WAY
from node.peering.outbox import OUTBOX_MESSAGES
from node.peering.ports import Peers
from node.wire.coalition_frames import Frame, RecordsWish, frame_bytes
from tests.peering.ends import NOW_MS, WAIT_SECONDS, End, carried, ends, introduce, until


async def talk(one: End, other: End) -> None:
    """Each says a word until the other has heard it, as an exchange does."""
    for sender, receiver, word in ((one, other, "سلام"), (other, one, "وعلیکم")):
        async with asyncio.timeout(WAIT_SECONDS):
            while word not in receiver.texts(sender.partner_id):
                if sender.links.connected(receiver.partner_id):
                    assert await sender.links.send(receiver.partner_id, carried(receiver.partner_id, word))
                await asyncio.sleep(0.05)


async def test_nodes_that_can_both_be_dialled_keep_one_connection_and_talk_both_ways() -> None:
    async with ends("nile", "saffron") as (nile, saffron):
        await talk(nile, saffron)
        await until(lambda: nile.links.connected("saffron"))
        assert nile.acting.greeted
        assert saffron.acting.greeted


@pytest.mark.parametrize("behind_nat", ["nile", "saffron"])
async def test_a_node_that_only_dials_takes_part_in_both_directions(behind_nat: str) -> None:
    async with ends("nile", "saffron", only_dialling=[behind_nat]) as (nile, saffron):
        await talk(nile, saffron)


async def test_messages_come_whole_and_in_order_when_nothing_breaks() -> None:
    async with ends("nile", "saffron", only_dialling=["nile"]) as (nile, saffron):
        await until(lambda: nile.links.connected("saffron"))
        wanted = [f"message {number}" for number in range(1_000)]
        for text in wanted:
            assert await nile.links.send("saffron", carried("saffron", text))
        await until(lambda: len(saffron.acting.came) == len(wanted))
        assert saffron.texts("nile") == wanted


async def test_what_waits_while_the_partner_is_down_goes_out_when_it_is_back() -> None:
    async with ends("nile", "saffron", only_dialling=["nile"]) as (nile, saffron):
        await until(lambda: nile.links.connected("saffron"))
        address = saffron.address
        await saffron.close()
        await until(lambda: not nile.links.connected("saffron"))
        assert await nile.links.send("saffron", carried("saffron", "while you were away"))
        back = End("saffron", saffron.authority)
        await back.listen(address)
        try:
            await introduce([nile, back])
            await until(lambda: back.texts("nile") == ["while you were away"])
        finally:
            await back.close()


async def test_a_partner_that_is_down_slows_nobody_and_its_outbox_is_bounded() -> None:
    async with ends("nile", "saffron", "zagros") as (nile, saffron, zagros):
        await zagros.close()
        await until(lambda: nile.links.connected("saffron") and not nile.links.connected("zagros"))
        taken = [
            await nile.links.send("zagros", carried("zagros", str(n))) for n in range(OUTBOX_MESSAGES + 9)
        ]
        assert taken.count(True) == OUTBOX_MESSAGES
        assert taken[-9:] == [False] * 9
        await talk(nile, saffron)
        assert nile.links.waiting()["zagros"] == (False, OUTBOX_MESSAGES)


async def test_the_same_message_waits_once_however_often_it_is_sent() -> None:
    async with ends("nile", "zagros", only_dialling=["nile", "zagros"]) as (nile, _):
        assert all([await nile.links.send("zagros", carried("zagros", "again")) for _ in range(100)])
        assert nile.links.waiting()["zagros"] == (False, 1)


async def test_a_flood_is_worked_on_within_its_bound_and_other_partners_are_served_meanwhile() -> None:
    async with ends("nile", "saffron", "zagros") as (nile, saffron, zagros):
        await until(lambda: zagros.links.connected("nile") and saffron.links.connected("nile"))
        nile.acting.gate.clear()
        refused = 0
        for number in range(UNDER_WAY * 8):
            refused += not await zagros.links.send("nile", carried("nile", str(number), size=10_000))
            await asyncio.sleep(0)
        await until(lambda: nile.acting.under_way == UNDER_WAY)
        refused += sum(
            [
                not await zagros.links.send("nile", carried("nile", f"more {n}"))
                for n in range(OUTBOX_MESSAGES)
            ]
        )
        assert refused  # the flood fills the flooder's own outbox
        assert await nile.links.send("saffron", carried("saffron", "still here"))
        await until(lambda: saffron.texts("nile") == ["still here"])
        assert nile.acting.most_under_way == UNDER_WAY
        nile.acting.gate.set()


async def test_a_partners_single_calls_share_the_same_bound() -> None:
    async with ends("nile", "saffron", only_dialling=["saffron"]) as (nile, saffron):
        await until(lambda: saffron.links.connected("nile"))
        assert await saffron.deliver("nile", carried("nile", "one")) == (carried("nile", "one"),)
        nile.acting.gate.clear()
        for number in range(UNDER_WAY):
            await saffron.links.send("nile", carried("nile", str(number)))
        await until(lambda: nile.acting.under_way == UNDER_WAY)
        assert await saffron.deliver("nile", carried("nile", "one too many")) is None
        assert nile.counted("vafa_peer_refused_total")["saffron", "OVERLOADED"] == 1
        nile.acting.gate.set()


async def test_records_are_read_over_the_stream_by_whichever_side_could_not_dial() -> None:
    async with ends("nile", "saffron", only_dialling=["saffron"]) as (nile, saffron):
        await until(lambda: saffron.links.connected("nile") and nile.links.connected("saffron"))
        for one, other in ((nile, saffron), (saffron, nile)):
            other.acting.records = [bytes((0x12, 2, 0x12, 0)), bytes((0x12, 0))]
            wish = RecordsWish("nile", "saffron", 3, 2, 50)
            assert await one.links.list_records(other.partner_id, wish) == (bytes((0x12, 0)),)
            assert other.acting.wishes == [(one.partner_id, wish)]


async def test_records_of_a_partner_that_is_away_are_none_rather_than_empty() -> None:
    async with ends("nile", "saffron", only_dialling=["nile", "saffron"]) as (nile, _):
        assert await nile.links.list_records("saffron", RecordsWish("nile", "saffron", 0, 1)) is None
        assert await nile.deliver("saffron", carried("saffron", "x")) is None
        assert await nile.links.fetch_directory("saffron") is None


async def test_a_partner_hands_over_its_directory() -> None:
    async with ends("nile", "saffron") as (nile, _):
        assert await nile.links.fetch_directory("saffron") == b"the directory"


async def test_a_fault_in_the_work_on_one_message_leaves_the_others_alone() -> None:
    async with ends("nile", "saffron") as (nile, saffron):
        await until(lambda: nile.links.connected("saffron"))
        await nile.links.send("saffron", carried("saffron", "fault"))
        await nile.links.send("saffron", carried("saffron", "after"))
        await until(lambda: saffron.texts("nile") == ["after"])
        assert saffron.counted("vafa_peer_faults_total")["nile",] == 1


# --- who may not ------------------------------------------------------------------------------------------


async def status_of(
    end: End, shown: End, method: str = "GetDirectory", request: bytes = b""
) -> grpc.StatusCode:
    """How a call of `shown`'s at `end` comes out."""
    channel = dial(end.entry(), end.address, shown.identity)
    try:
        await unary(channel, method, request, 10)
    except grpc.aio.AioRpcError as error:
        return error.code()
    finally:
        await channel.close()
    return grpc.StatusCode.OK


async def test_an_authority_that_the_directory_does_not_name_opens_nothing() -> None:
    async with ends("nile", "saffron") as (nile, saffron):
        stranger = End("saffron")  # says that it is saffron, by an authority of its own
        assert await status_of(nile, saffron) is grpc.StatusCode.OK
        assert await status_of(nile, stranger) is grpc.StatusCode.UNAVAILABLE
        await stranger.close()


async def test_a_partners_authority_does_not_speak_for_another_partner() -> None:
    async with ends("nile", "saffron", "zagros") as (nile, _, zagros):
        impostor = End("saffron", zagros.authority)
        assert await status_of(nile, impostor) is grpc.StatusCode.UNAUTHENTICATED
        assert nile.counted("vafa_peer_refused_total")["", "UNAUTHENTICATED"] == 1
        await impostor.close()


async def test_a_till_of_a_partner_is_no_partner() -> None:
    async with ends("nile", "saffron") as (nile, saffron):
        key = new_tls_key()
        till = Caller(Role.TILL, "saffron", "till-1", "north")
        issued = issue_client_certificate(
            saffron.authority, signing_request(key), till, now_ms=NOW_MS, validity_days=9
        )
        credentials = grpc.ssl_channel_credentials(
            nile.authority.certificate_pem, private_key_pem(key), issued.pem
        )
        options = (("grpc.ssl_target_name_override", peer_host_name("nile")),)
        async with grpc.aio.secure_channel(nile.address, credentials, options=options) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await unary(channel, "Deliver", b"", 10)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_node_is_not_dialled_where_another_authority_answers() -> None:
    async with ends("nile", "saffron") as (nile, saffron):
        false = End("saffron", new_authority("saffron", now_ms=NOW_MS))
        await false.listen()
        entry = saffron.entry()
        lured = Peers("nile", {"saffron": type(entry)("saffron", entry.authority_pem, (false.address,))})
        await saffron.close()
        await nile.links.update(lured)
        await until(lambda: nile.counted("vafa_peer_dials_total")["saffron", "failed"] >= 2)
        assert not nile.links.connected("saffron")
        assert not false.acting.greeted
        await false.close()


async def test_garbage_on_the_stream_ends_the_connection_and_is_counted_and_acted_on_by_nobody() -> None:
    async with ends("nile", "saffron", only_dialling=["saffron"]) as (nile, saffron):
        await saffron.links.close()
        for garbage in (b"\xff\xff\xff", b"\x0a\x7f", frame_bytes(Frame((bytes((10, 0)),) * 300))):
            channel = dial(nile.entry(), nile.address, saffron.identity)
            call = link_call(channel)
            await call.write(garbage)
            assert await call.read() is grpc.aio.EOF
            await channel.close()
        assert nile.counted("vafa_peer_faults_total")["saffron",] == 3
        assert nile.acting.came == []
        assert await status_of(nile, saffron, "Deliver", b"\xff\xff") is grpc.StatusCode.INVALID_ARGUMENT


# --- a new directory --------------------------------------------------------------------------------------


async def test_a_partner_that_joins_or_leaves_needs_no_restart() -> None:
    async with ends("nile", "saffron") as (nile, saffron):
        await talk(nile, saffron)
        zagros = End("zagros")
        await zagros.listen()
        await introduce([nile, saffron, zagros])
        await talk(nile, zagros)
        await talk(nile, saffron)
        await introduce([nile, saffron])
        assert nile.links.link("zagros") is None
        assert not await nile.links.send("zagros", carried("zagros", "gone"))
        await until(lambda: not zagros.links.connected("nile"))
        assert await status_of(nile, zagros) in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)
        await zagros.close()


async def test_a_partner_that_moves_is_dialled_at_its_new_place() -> None:
    async with ends("nile", "saffron", only_dialling=["nile"]) as (nile, saffron):
        await talk(nile, saffron)
        await saffron.close()
        moved = End("saffron", saffron.authority)
        await moved.listen()
        await introduce([nile, moved])
        await talk(nile, moved)
        await moved.close()


async def test_a_partner_with_a_new_authority_is_known_by_it_alone() -> None:
    async with ends("nile", "saffron", only_dialling=["saffron"]) as (nile, saffron):
        await talk(nile, saffron)
        renewed = End("saffron", new_authority("saffron", now_ms=NOW_MS))
        await introduce([nile, renewed])
        await talk(nile, renewed)
        await until(lambda: not saffron.links.connected("nile"))
        assert await status_of(nile, saffron) is grpc.StatusCode.UNAVAILABLE
        await renewed.close()


# --- the relay --------------------------------------------------------------------------------------------


async def test_a_relay_carries_between_two_nodes_that_can_only_dial() -> None:
    async with ends("nile", "saffron", "zagros", only_dialling=["nile", "saffron"]) as (
        nile,
        saffron,
        zagros,
    ):
        await introduce([nile, saffron, zagros], relays={"saffron": "zagros"})
        await until(lambda: nile.links.connected("saffron") and saffron.links.connected("nile"))
        assert await nile.links.send("saffron", carried("saffron", "over the mountains", "nile"))
        await until(lambda: saffron.texts("zagros") == ["over the mountains"])
        assert await saffron.links.send("nile", carried("nile", "and back", "saffron"))
        await until(lambda: nile.texts("zagros") == ["and back"])
        assert zagros.acting.came == []


async def test_nobody_is_a_relay_whom_the_directory_does_not_name() -> None:
    async with ends("nile", "saffron", "zagros") as (nile, saffron, zagros):
        await until(lambda: nile.links.connected("zagros") and zagros.links.connected("saffron"))
        await nile.links.send("zagros", carried("saffron", "carry this", "nile"))
        await until(lambda: zagros.texts("nile") == ["carry this"])  # its own work: to refuse it by name
        assert saffron.acting.came == []
