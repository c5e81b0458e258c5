"""Has names of people and machines in everything that a trace can contain."""

import json
import os
import pathlib
import sys
import threading

HOME = os.path.expanduser("~")


def leaf(number):
    return number * 2


def work():
    for number in range(50):
        leaf(number)


def login():
    sys.audit("acme.login", HOME)
    return json.loads('{"user": 1}')


def main():
    thread = threading.Thread(target=work, name="orders of acme-corp")
    thread.start()
    thread.join()
    work()
    return login()


main()
exec(compile("def hidden(): pass\nhidden()", pathlib.Path(HOME) / "diary" / "monday.py", "exec"))
