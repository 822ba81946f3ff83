"""`vafa lane proof` and `vafa lane verify-proof`: that a home node told two histories of a lane."""

from __future__ import annotations

import json as jsonlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from node.cli.connection import (
    DEADLINE_SECONDS,
    DEFAULT_CONFIG,
    AddressOption,
    CertificateOption,
    ConfigOption,
    JsonOption,
    connected,
)
from node.cli.join import JoinRefused
from node.proto.vafa.coalition.v1 import coalition_service_pb2 as pb
from node.proto.vafa.coalition.v1 import coalition_service_pb2_grpc
from node.wire.coalition_directory import DIRECTORY_LABEL, Unreadable, armoured, read_directory, unarmoured
from node.wire.coalition_trust import KnownDirectories
from node.wire.fork_proofs import FORK_PROOF_LABEL, Fork, read_fork_proof


def proof(
    partner: Annotated[str, typer.Argument(help="The partner's id: the home node of the lane.")],
    lane: Annotated[int, typer.Option(help="The lane, a partition of the partner's node.")],
    out: Annotated[Path, typer.Option(help="The file to write; it must not exist.")],
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
) -> None:
    """Write the proof that a partner told two histories of a lane; exit status 1 where there is none."""
    with connected(config, address, certificate) as channel:
        stub = coalition_service_pb2_grpc.CoalitionServiceStub(channel)
        request = pb.GetDisputeRequest(partner_id=partner, lane=lane)
        answer = stub.GetDispute(request, timeout=DEADLINE_SECONDS)
    if not answer.why:
        typer.echo(f"Lane {lane} with {partner} is not set aside.", err=True)
        raise typer.Exit(1)
    when = datetime.fromtimestamp(answer.dispute_time.seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    said = f"Lane {lane} with {partner} was set aside at {when}: {answer.why}."
    if not answer.HasField("fork_proof"):
        typer.echo(
            f"{said} What is kept does not prove that {partner} told two histories in one epoch. Keep a "
            "backup; `vafa lane show` has the records.",
            err=True,
        )
        raise typer.Exit(1)
    data = answer.fork_proof.SerializeToString(deterministic=True)
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(armoured(FORK_PROOF_LABEL, data))
    except FileExistsError:
        raise JoinRefused(f"{out} exists already; name another file.") from None
    typer.echo(f"{said}\nWrote {out}. Anybody verifies it: vafa lane verify-proof {out} --directory FILE")


def verify_proof(
    file: Annotated[Path, typer.Argument(help="The proof, as `vafa lane proof` wrote it.")],
    directory: Annotated[Path, typer.Option(help="The coalition's signed directory, as it was published.")],
    json: JsonOption = False,
) -> None:
    """Verify such a proof with the directory alone, no node needed; exit status 1 where it proves nothing."""
    try:
        signed = read_directory(unarmoured(DIRECTORY_LABEL, _text(directory)))
        fork = read_fork_proof(unarmoured(FORK_PROOF_LABEL, _text(file)), KnownDirectories([signed]))
    except (Unreadable, UnicodeDecodeError) as wrong:
        if json:
            typer.echo(jsonlib.dumps({"proven": False, "problem": str(wrong)}))
        else:
            typer.echo(f"Nothing is proven. {wrong}", err=True)
        raise typer.Exit(1) from None
    typer.echo(_json(fork, signed.key_uri) if json else _words(fork, signed.key_uri))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as fault:
        raise JoinRefused(f"{path}: {fault.strerror}.") from None


def _words(fork: Fork, operator_key: str) -> str:
    return "\n".join(
        [
            f"Proven: {fork.home_id} told two histories of lane {fork.lane} to {fork.acquirer_id} "
            f"(epoch {fork.epoch}, record {fork.number}).",
            *(f"  {one.hex()}  signed by {key}" for one, key in zip(fork.hashes, fork.keys, strict=True)),
            *_between(fork),
            f"The directory of {fork.coalition_id} is signed by {operator_key}:",
            "compare that with the operator's key.",
        ]
    )


def _between(fork: Fork) -> list[str]:
    """Where the first hash stands not in a message of its own."""
    if not fork.records_between:
        return []
    through, between = fork.number + fork.records_between, fork.records_between
    return [f"  The first was signed through record {through}: the {between} records between lead to it."]


def _json(fork: Fork, operator_key: str) -> str:
    return jsonlib.dumps(
        {
            "proven": True,
            "coalition_id": fork.coalition_id,
            "home_id": fork.home_id,
            "acquirer_id": fork.acquirer_id,
            "lane": fork.lane,
            "epoch": fork.epoch,
            "number": fork.number,
            "hashes": [one.hex() for one in fork.hashes],
            "keys": list(fork.keys),
            "records_between": fork.records_between,
            "operator_key": operator_key,
        }
    )
