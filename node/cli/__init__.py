"""The `vafa` command, one file a noun."""

import os

# The C core of grpc would write lines of its own between ours; what matters of them comes out as failures. It
# reads this once, when it is first imported, so it is set before any module of the command is.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
