"""``python -m skitai.daemon.cron --config FILE [--log FILE] [--keep N]``: the cron agent of skitaid."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from skitai.daemon.cron.agent import Agent
from skitai.daemon.cron.crontab import CrontabFile
from skitai.daemon.cron.zone import LocalZone
from skitai.daemon.ownlog import OwnLog


def main(words: Sequence[str]) -> int:
    """Run jobs until a signal ends it; return the exit status."""
    parser = ArgumentParser(prog="python -m skitai.daemon.cron")
    parser.add_argument("--config", required=True, type=Path, help="the file with [crontab:line]")
    parser.add_argument("--log", default="-", help="the log; - is standard output")
    parser.add_argument("--keep", default=0, type=int, help="how many former files; 0: it is not rotated")
    options = parser.parse_args(words)
    log = OwnLog(options.log, keep=options.keep)
    log.begin()
    agent = Agent(CrontabFile(options.config), LocalZone(), os.environ, log)
    agent.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
