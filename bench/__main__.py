"""`python -m bench NAME`: runs one measurement. Without a name it lists them."""

import importlib
import sys

from bench.report import BenchFailed
from simulators.launch import NodeFailed

BENCHES = {
    "limits": "the node beside an empty gRPC echo and beside RocksDB alone, in one run",
    "peers": "the same work on PostgreSQL, behind the same gRPC front and with pgbench",
    "growth": "throughput, memory, start-up and recovery as the members grow",
    "actors": "the member actor as a Ray actor of its own, and in shards",
    "exchange": "redemptions at a partner's till, between two whole nodes, beside their limit",
    "settlement": "closing, netting and checking a window of many merchants and records",
    "cards": "making chip cards, and verifying them beside the bare CMAC",
    "load": "many simulated tills over mTLS by Locust; ends with PASS or FAIL",
}
"""The measurements by name; `load` is what `make load` runs."""

_MODULES = {"load": "bench.load_run"}


def main(arguments: list[str]) -> int:
    """Run the bench that the first argument names with the rest.

    0 is success, 1 a bench that could not measure what it meant to or a load that did not pass, 2 an unknown
    name.
    """
    name, *rest = arguments or [""]
    if name not in BENCHES:
        print("Usage: python -m bench NAME [--json FILE] [--seconds S] …   (NAME --help says more)\n")
        for known, what in BENCHES.items():
            print(f"  {known:8} {what}")
        return 0 if name in ("", "-h", "--help") else 2
    module = importlib.import_module(_MODULES.get(name, f"bench.{name}"))
    try:
        code: int = module.main(rest)
    except (BenchFailed, NodeFailed) as failed:
        print(f"\n{name}: {failed}", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
