"""The operator's own process: the same books over gRPC, with a store and an authority of its own, no
members, no Ray.

service-ca.pem, service-ca.key   the authority of its connections; partners know it by the directory
store/                           windows, closes, statements, payments
service.address                  where it serves, while it does
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import grpc
import typer
from cryptography import x509

from node.actors.operator_books import OperatorBooks
from node.cli.operator_home import OperatorHome, OperatorRefused, write_text
from node.coalition.directory import OPERATOR_ID
from node.coalition.envelopes import Message
from node.config import split_address
from node.identity.ca import Authority, load_authority, new_authority
from node.identity.keys import private_key_pem, read_secret, write_secret
from node.identity.peers import new_peer_identity, peer_host_name
from node.peering.channels import PEER_OPTIONS
from node.rpc.settlement import SettlementServer, SettlementService, clock_ms
from node.storage.rocks import RocksOptions, RocksStore
from node.wire.coalition import Opener, Unopened
from node.wire.coalition_directory import DIRECTORY_LABEL, read_directory, unarmoured
from node.wire.coalition_trust import KnownDirectories

STOP_SECONDS = 5.0
DEFAULT_LISTEN = "127.0.0.1:7450"
CALL_SECONDS = 600.0
_CA, _CA_KEY, _STORE, _ADDRESS = "service-ca.pem", "service-ca.key", "store", "service.address"


def authority_of(home: OperatorHome, *, make: bool = False) -> Authority | None:
    """The authority of the operator's connections; None where there is none yet and none is to be made."""
    path = home.directory / _CA
    if not path.exists():
        if not make:
            return None
        authority = new_authority(OPERATOR_ID, now_ms=clock_ms())
        write_secret(home.directory / _CA_KEY, private_key_pem(authority.key))
        write_text(path, authority.certificate_pem.decode())
        return authority
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return load_authority(certificate, read_secret(home.directory / _CA_KEY))


class Followed:
    """The directories that the operator has published, read anew when there is another one."""

    def __init__(self, home: OperatorHome) -> None:
        self._folder = home.directory / "published"
        self._names: list[str] = []
        self._known: KnownDirectories | None = None

    def known(self) -> KnownDirectories:
        """All of them; OperatorRefused before the first."""
        paths = sorted(self._folder.glob("*.directory"))
        if not paths:
            raise OperatorRefused("No directory is published yet. `vafa operator publish` first.")
        names = [path.name for path in paths]
        if self._known is None or names != self._names:
            texts = [unarmoured(DIRECTORY_LABEL, path.read_text(encoding="utf-8")) for path in paths]
            self._known = KnownDirectories([read_directory(data) for data in texts])
            self._names = names
        return self._known


def has_store(home: OperatorHome) -> bool:
    """Whether there are books at all."""
    return (home.directory / _STORE).exists()


def is_served(home: OperatorHome) -> bool:
    """Whether the operator's service says that it serves."""
    return (home.directory / _ADDRESS).exists()


@contextmanager
def resting(home: OperatorHome) -> Iterator[OperatorBooks]:
    """The books while no service serves them; StoreError where one does."""
    store, books = _open_books(home, Followed(home))
    try:
        yield books
    finally:
        store.close()


def _open_books(home: OperatorHome, followed: Followed) -> tuple[RocksStore, OperatorBooks]:
    path = home.directory / _STORE
    store = RocksStore(path, RocksOptions(create=not path.exists()))
    opener = Opener(OPERATOR_ID, followed.known)

    def opened(envelope: bytes) -> Message | None:
        found = opener.evidence(envelope)
        return None if isinstance(found, Unopened) else found

    return store, OperatorBooks(store, followed.known, home.signer, opened)


class OperatorProcess:
    """The books and the server over an operator's directory. `start`, then `stop`."""

    def __init__(self, home: OperatorHome) -> None:
        self._home = home
        self._followed = Followed(home)
        self._followed.known()
        authority = authority_of(home, make=True)
        assert authority is not None
        self._authority_pem = authority.certificate_pem
        self._store, self.books = _open_books(home, self._followed)
        service = SettlementService(self.books, self._authorities)
        identity = new_peer_identity(authority, OPERATOR_ID, now_ms=clock_ms())
        self._server = SettlementServer(service, identity, self._authorities)

    def _authorities(self) -> Mapping[str, bytes]:
        partners = self._followed.known().newest.partners
        return {one.partner_id: one.authority_pem for one in partners} | {OPERATOR_ID: self._authority_pem}

    async def start(self, address: str) -> str:
        """Serves at `address`; gives it with the port that was bound, and writes it for the commands."""
        host, _ = split_address(address)
        port = await self._server.start(address)
        bound = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        write_text(self._home.directory / _ADDRESS, bound)
        return bound

    async def stop(self) -> None:
        """Takes no more calls, and closes the books in good order."""
        await self._server.stop(STOP_SECONDS)
        (self._home.directory / _ADDRESS).unlink(missing_ok=True)
        self._store.close()


def serve(home: OperatorHome, listen: str) -> None:
    """Serves until SIGTERM or Ctrl-C."""
    address = listen or home.terms().operator.listen or DEFAULT_LISTEN

    async def until_told() -> None:
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        process = OperatorProcess(home)
        try:
            typer.echo(f"Serving partners at {await process.start(address)}. Ctrl-C ends it in good order.")
            await told.wait()
        finally:
            await process.stop()

    asyncio.run(until_told())


@contextmanager
def calling(home: OperatorHome) -> Iterator[grpc.Channel]:
    """A channel to the operator's running service, as the operator."""
    authority, path = authority_of(home), home.directory / _ADDRESS
    if authority is None or not path.exists():
        raise OperatorRefused(
            "The operator's service does not run. Start it: vafa operator run "
            f"--dir {home.directory}; then do this again."
        )
    identity = new_peer_identity(authority, OPERATOR_ID, now_ms=clock_ms())
    credentials = grpc.ssl_channel_credentials(
        authority.certificate_pem, identity.key_pem, identity.certificate_pem
    )
    options = (*PEER_OPTIONS, ("grpc.ssl_target_name_override", peer_host_name(OPERATOR_ID)))
    with grpc.secure_channel(_dialled(path), credentials, options=options) as channel:
        try:
            yield channel
        except grpc.RpcError as error:
            code, text = error.code(), error.details()
            if code is grpc.StatusCode.UNAVAILABLE:
                text = "The operator's service does not answer. Is `vafa operator run` still running?"
            raise OperatorRefused(str(text)) from None


def _dialled(path: Path) -> str:
    address = path.read_text(encoding="utf-8").strip()
    return address.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")  # noqa: S104 - where to dial, not bind
