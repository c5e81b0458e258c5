"""Writes its arguments and standard input to standard output, and a word to standard error."""

import sys


def echo():
    print(sys.argv[1:], flush=True)
    for line in sys.stdin:
        sys.stdout.write(line)
    sys.stderr.write("done\n")


if __name__ == "__main__":
    echo()
