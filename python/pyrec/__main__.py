"""`python -m pyrec`: the command, which then records with this very Python."""

import os
import sys

from pyrec._command import path


def main():
    os.environ.setdefault("PYREC_PYTHON", sys.executable)
    command = path()
    os.execv(command, [command] + sys.argv[1:])


main()
