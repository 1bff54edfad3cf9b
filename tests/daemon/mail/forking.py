"""Agents that start at once: a process that has all modules forks one for each line it reads.

The line has the arguments for ``twist``. The reactor is imported after the fork, so each child is what
``twist skitai-mail`` is. The id of each child is printed.
"""

import os
import signal
import sys

from twisted.application.twist._twist import Twist

import skitai.daemon.mail.tap  # noqa: F401 - children have it then

assert "twisted.internet.reactor" not in sys.modules
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        sys.argv = ["twist", *line.split()]
        Twist.main(sys.argv)
        os._exit(0)
    print(pid, flush=True)
