"""Where a message goes next: to its receiver, to its receiver's relay, or nowhere.

A relay carries signed messages that it can neither change nor answer. What travels beside them, identifier
and proof, is sealed for the receiver (`identity.beside`); the relay sees who says something of what kind to
whom, with amounts and pseudonyms.
A message is carried once: a relay hands it to the receiver's own connection, never to another relay.
"""

from __future__ import annotations

from node.peering.ports import Peers


def may_come_from(peers: Peers, connection_id: str, sender_id: str) -> bool:
    """Whether a message of `sender_id` may arrive on the connection of `connection_id`.

    It may on the sender's own, on that of the sender's relay, and on that of this node's relay.
    """
    if connection_id == sender_id:
        return True
    sender = peers.partners.get(sender_id)
    return sender is not None and connection_id in (sender.relay_partner_id, peers.own_relay_id)


def carries(peers: Peers, from_id: str, receiver_id: str) -> bool:
    """Whether this node is to carry a message of `from_id` to `receiver_id`: as the relay of either."""
    sender, receiver = peers.partners.get(from_id), peers.partners.get(receiver_id)
    if sender is None or receiver is None or from_id == receiver_id:
        return False
    return peers.own_id in (sender.relay_partner_id, receiver.relay_partner_id)


def relays_towards(peers: Peers, receiver_id: str) -> tuple[str, ...]:
    """Who may carry a message of this node's to `receiver_id`: its relay first, then this node's own."""
    receiver = peers.partners.get(receiver_id)
    if receiver is None:
        return ()
    wanted = (receiver.relay_partner_id, peers.own_relay_id)
    return tuple(dict.fromkeys(relay for relay in wanted if relay in peers.partners and relay != receiver_id))
