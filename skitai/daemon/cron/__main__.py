"""``python -m skitai.daemon.cron --config FILE [--log FILE]``: the cron agent, as skitaid starts it."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from twisted.logger import globalLogBeginner

from skitai.daemon.cron.agent import Agent
from skitai.daemon.cron.crontab import CrontabFile
from skitai.daemon.cron.zone import LocalZone
from skitai.daemon.logs import open_log, plain_observer, reopen


def main(words: Sequence[str]) -> int:
    """Run jobs until a signal ends it; return the exit status."""
    parser = ArgumentParser(prog="python -m skitai.daemon.cron")
    parser.add_argument("--config", required=True, type=Path, help="the file with [crontab:line]")
    parser.add_argument("--log", default="-", help="the log; - is standard output")
    options = parser.parse_args(words)
    stream = open_log(options.log)
    globalLogBeginner.beginLoggingTo([plain_observer(stream)], redirectStandardIO=False)
    agent = Agent(CrontabFile(options.config), LocalZone(), os.environ, partial(reopen, stream))
    agent.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
