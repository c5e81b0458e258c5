"""The command `pyrec` that is installed beside this package."""

import os
import shutil
import subprocess
import sysconfig
from typing import List


class CommandFailed(Exception):
    """The command exited with an error. The text is what it printed on standard error."""


def path() -> str:
    """Returns the command's path: in this package's environment, in the user's scripts, or on the `PATH`."""
    user_scheme = "posix_user"
    folders = [sysconfig.get_path("scripts"), sysconfig.get_path("scripts", scheme=user_scheme)]
    for folder in folders:
        command = os.path.join(folder, "pyrec")
        if os.access(command, os.X_OK):
            return command
    found = shutil.which("pyrec")
    if found is None:
        raise CommandFailed(
            "cannot find the command pyrec: it is neither beside this package nor on the PATH; "
            "install the distribution pyrec-recorder again"
        )
    return found


def run(arguments: List[str]) -> bytes:
    """Runs the command and returns its standard output. Raises `CommandFailed` if it exits with an error."""
    done = subprocess.run([path(), *arguments], capture_output=True)
    if done.returncode != 0:
        message = done.stderr.decode("utf-8", "replace").strip()
        raise CommandFailed(message or f"pyrec ended with status {done.returncode}")
    return done.stdout
