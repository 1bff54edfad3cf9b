"""``python -m skitai.daemon.supervisor [--log FILE] [--level LEVEL] [--json] -- COMMAND``.

``twist skitai`` becomes this process if its config wants several workers. COMMAND, which starts with the path
of Python, is what was started before: it starts nurseries.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from functools import partial

from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    jsonFileLogObserver,
)

from skitai.daemon.logs import open_log, plain_observer, reopen
from skitai.daemon.notify import Notifier
from skitai.daemon.relief.standin import StandIn
from skitai.daemon.supervisor.process import Supervisor
from skitai.daemon.supervisor.sockets import Sockets
from skitai.net.handing import handed_over
from skitai.net.sockets import passed_by_systemd


def main(words: Sequence[str]) -> int:
    """Supervise what the words of the command line say; return the exit status."""
    parser = ArgumentParser()
    parser.add_argument("--log", default="-")
    parser.add_argument("--level", default="info")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(words)
    stream = open_log(options.log)
    observer = (jsonFileLogObserver if options.json else plain_observer)(stream)
    level = LogLevelFilterPredicate(LogLevel.levelWithName(options.level))
    globalLogBeginner.beginLoggingTo([FilteringLogObserver(observer, [level])], redirectStandardIO=False)
    inherited = passed_by_systemd(os.environ) or ()
    sockets = Sockets(inherited, handed_over(os.environ))
    stand_in = StandIn.of(os.environ)
    supervisor = Supervisor(options.command, sockets, Notifier(os.environ), partial(reopen, stream), stand_in)
    return supervisor.run()


def discard_unwritten() -> None:
    """Drop what a full disk has not taken: Python would end with status 120, as if the stop had failed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


if __name__ == "__main__":
    status = main(sys.argv[1:])
    discard_unwritten()
    raise SystemExit(status)
