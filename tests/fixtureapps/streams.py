"""Writes to the standard streams in the ways that programs have."""

import faulthandler
import logging
import subprocess
import sys


def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    globals()[name](environ)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


def kinds(environ):
    """Every way to write is used once, in this order."""
    print("1 print")
    sys.stdout.buffer.write(b"2 bytes\n")
    sys.stdout.buffer.flush()
    subprocess.run(["echo", "3 child"], stdout=sys.stdout, check=True)
    print("4 print to errors", file=sys.stderr)
    subprocess.run(["sh", "-c", "echo 5 child >&2"], stderr=sys.stderr, check=True)
    logging.getLogger("tested").warning("6 record")
    print("7 wsgi.errors", file=environ["wsgi.errors"])
    print("8 words", end=" ", flush=True)
    print("and more")


def prompt(environ):
    """A prompt has no line end."""
    print("(Pdb) ", end="", flush=True)


def faults(environ):
    """What is for crashes needs a descriptor."""
    faulthandler.enable()
    faulthandler.disable()
    assert not sys.stdout.isatty()
    assert (sys.stdout.fileno(), sys.stderr.fileno()) == (1, 2)


def fails(environ):
    raise ValueError("on purpose")
