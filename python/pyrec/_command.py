"""The command that was installed beside this package."""

import os
import shutil
import subprocess
import sysconfig


class CommandFailed(Exception):
    """pyrec could not do what was asked. The text is the sentence that it said."""


def path():
    """The command's path: in the environment of this package, in the user's scripts, or on the `PATH`."""
    user_scheme = "posix_user"
    places = [sysconfig.get_path("scripts"), sysconfig.get_path("scripts", scheme=user_scheme)]
    for place in places:
        command = os.path.join(place, "pyrec")
        if os.access(command, os.X_OK):
            return command
    command = shutil.which("pyrec")
    if command is None:
        raise CommandFailed("the command pyrec is not installed; `pip install pyrec` brings it")
    return command


def run(arguments):
    """Runs the command and returns what it printed."""
    done = subprocess.run([path()] + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise CommandFailed(said or "pyrec ended with status {}".format(done.returncode))
    return done.stdout
