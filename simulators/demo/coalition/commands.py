"""The `vafa` commands of the demo, run in this process: the very commands that people type, but for the
seconds that each would take to start a Python of its own.
"""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout

from simulators.launch import NodeFailed

_INTERRUPTED = 130


def vafa(*arguments: str) -> str:
    """Runs the `vafa` command; what it said. `NodeFailed` with its words where it refuses."""
    status, said = try_vafa(*arguments)
    if status != 0:
        shown = " ".join(arguments[:2])
        raise NodeFailed(f"`vafa {shown}` ended with status {status}:\n{said}")
    return said


def try_vafa(*arguments: str) -> tuple[int, str]:
    """The same, whatever its status; what it said on standard output, and where it refuses on standard error
    too. Not for several threads.
    """
    from node.cli.main import main  # the command line loads the demo, not the other way round

    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    status = 0
    sys.argv = ["vafa", *arguments]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = before
    if status == _INTERRUPTED:
        raise KeyboardInterrupt
    return status, out.getvalue() if status == 0 else out.getvalue() + err.getvalue()
