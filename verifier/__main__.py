"""`vafa-verify FILE --directory FILE`: checks a published statement. 0 is sound, 1 not, 2 unreadable."""

import argparse
import json
import sys
from pathlib import Path

from google.protobuf.message import DecodeError

from verifier.signatures import Untrusted, load_directory
from verifier.statement import verify

UNREADABLE = (DecodeError, Untrusted, ValueError, OverflowError)
"""What comes of files that are not what they should be."""


def main(arguments: list[str] | None = None) -> int:
    """Reads the files, prints what was checked, and says whether the statement is sound."""
    parser = argparse.ArgumentParser(prog="vafa-verify", description=__doc__)
    parser.add_argument("file", type=Path, help="the published statement")
    parser.add_argument(
        "--directory", type=Path, required=True, help="the directory that the operator signed"
    )
    parser.add_argument("--previous", type=Path, help="the statement before, to check what goes on from it")
    parser.add_argument(
        "--operator-key", default="", metavar="ed25519:…", help="the operator's, if you know it"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        directory, raw, keys = load_directory(options.directory.read_bytes(), options.operator_key)
        previous = options.previous.read_bytes() if options.previous else b""
        report = verify(options.file.read_bytes(), directory, raw, keys, previous)
    except (OSError, *UNREADABLE) as wrong:
        print(f"vafa-verify: cannot be checked: {wrong}", file=sys.stderr)
        return 2
    if options.json:
        checks = [{"sound": good, "what": what} for good, what in report.checks]
        nets = {party: str(amount) for party, amount in report.nets.items()}
        shown = {"sound": report.sound, "checks": checks, "nets": nets}
        print(json.dumps(shown, ensure_ascii=False, indent=2))
        return 0 if report.sound else 1
    for good, what in report.checks:
        print(f"{'ok   ' if good else 'WRONG'} {what}")
    if not options.operator_key:
        print(f"note  signed by {' or '.join(sorted(keys))}; make sure that this is the operator's key")
    if not options.previous:
        print("note  what is carried over was not compared; give the statement before as --previous")
    print("SOUND" if report.sound else "NOT SOUND")
    return 0 if report.sound else 1


if __name__ == "__main__":
    sys.exit(main())
