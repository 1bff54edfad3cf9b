"""Does something to a spool, and dies at each of its steps: ``dying.py ACTION FOLDER``.

For each step there is a spool of its own, ``FOLDER/NUMBER``, in which the process has died just before its
call number NUMBER that changes something; where that call writes, half of it was written. The last has lived.
"""

import fcntl
import os
import signal
import sys
from pathlib import Path

from skitai.mail.envelope import Envelope
from skitai.mail.spool import Spool
from skitai.mail.state import RecipientOutcome

CHANGING = (
    "open", "write", "fsync", "rename", "link", "unlink", "mkdir", "chmod", "fchmod",
    "ftruncate", "utime",
)  # fmt: skip
ENVELOPE = Envelope("mail-1", "ann@a.example", ("bob@b.example", "cat@c.example"), 1000.0, subject="Hello")
MESSAGE = b"Subject: Hello\n\n" + b"0123456789" * 1000 + b"\n"
SENT = RecipientOutcome("bob@b.example", "sent", 250, "OK")
REFUSED = RecipientOutcome("cat@c.example", "refused", 550, "no cats")
DEFERRED = RecipientOutcome("cat@c.example", "deferred", 450, "later")


def at_call(number, what):
    """Have ``what(call, arguments)`` called before the ``number``-th call that changes something."""
    count = 0

    def counted(call):
        def replacement(*arguments, **options):
            nonlocal count
            count += 1
            if count == number:
                what(call, arguments)
            return call(*arguments, **options)

        return replacement

    originals = {(module, name): getattr(module, name) for module, name in _names()}
    for (module, name), call in originals.items():
        setattr(module, name, counted(call))

    def undo():
        for (module, name), call in originals.items():
            setattr(module, name, call)
        return count >= number

    return undo


def _names():
    return [*((os, name) for name in CHANGING), (fcntl, "flock")]


def written(spool):
    spool.make_folders()
    spool.write(ENVELOPE, MESSAGE)


def tried(spool):
    written(spool)
    with spool.claim("mail-1") as claim:
        claim.record([SENT, DEFERRED], 2000.0)


def settled(spool):
    tried(spool)
    with spool.claim("mail-1") as claim:
        claim.record([REFUSED], None)


def given_up(spool):
    settled(spool)
    with spool.claim("mail-1") as claim:
        claim.give_up("cat@c.example: 550 no cats")


def malformed(spool):
    tried(spool)
    (spool.incoming / "mail-1.json").write_bytes(b"{")


def record(spool):
    with spool.claim("mail-1") as claim:
        claim.record([REFUSED], None)


def first_record(spool):
    with spool.claim("mail-1") as claim:
        claim.record([SENT, DEFERRED], 2000.0)


def done(spool):
    with spool.claim("mail-1") as claim:
        claim.done()


def give_up(spool):
    with spool.claim("mail-1") as claim:
        claim.give_up("cat@c.example: 550 no cats")


#: What is there before, and what is done then.
ACTIONS = {
    "write": (lambda spool: None, lambda spool: spool.write(ENVELOPE, MESSAGE)),
    "write again": (Spool.make_folders, lambda spool: spool.write(ENVELOPE, MESSAGE)),
    "first record": (written, first_record),
    "record": (tried, record),
    "done": (settled, done),
    "done at once": (written, done),
    "give up": (settled, give_up),
    "retry": (given_up, lambda spool: spool.retry("mail-1", "undeliver")),
    "set aside": (malformed, lambda spool: spool.claim("mail-1")),
    "drop": (tried, lambda spool: spool.drop("mail-1", "spool")),
}


def _die(call, arguments):
    if call.__name__ == "write":
        descriptor, data = arguments
        call(descriptor, data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


def main(action, folder):
    prepare, act = ACTIONS[action]
    for number in range(1, 100):
        spool = Spool(Path(folder) / str(number))
        prepare(spool)
        child = os.fork()
        if not child:
            at_call(number, _die)
            act(spool)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if status == 0:
            return 0
        assert os.WTERMSIG(status) == signal.SIGKILL, status
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
