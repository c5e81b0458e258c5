"""`python -m pyrec`: runs the command, which by default records with this interpreter."""

import os
import sys

from pyrec._command import path


def main() -> None:
    """Replaces this process with the command."""
    os.environ.setdefault("PYREC_PYTHON", sys.executable)
    command = path()
    os.execv(command, [command, *sys.argv[1:]])


main()
