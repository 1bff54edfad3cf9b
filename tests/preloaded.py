"""``twist`` in processes that are forked from one that has loaded Skitai: half of each start is done once.

Such a process does what ``python -m twisted`` or ``python -m skitai`` does, with arguments, an environment, a
folder and streams of its own. Nothing runs in the one that forks: no reactor, no thread. There are two, for a
server with ``cooperative`` loads its plugins when all is made cooperative.
"""

from __future__ import annotations

import atexit
import gc
import importlib.metadata
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parent.parent
#: What ``twist skitai`` loads before it knows its config.
_MODULES = (
    "twisted.application.twist._twist",
    "twisted.internet.epollreactor",
    "skitai.building",
    "skitai.tap",
)
#: How the variables begin that Python and libraries look at while they are loaded.
_LOOKED_AT = ("PYTHON", "LANG", "LC_", "LD_", "MALLOC_", "OPENSSL_")
#: What is run.
_PROGRAMS = ("twisted", "skitai", "skitai.command.keys", "skitai.daemon.mail")


class Forked:
    """A process that was forked, with what tests use of ``subprocess.Popen``."""

    def __init__(self, args, pid, status):
        self.args = args
        self.pid = pid
        self.returncode = None
        self._status = status

    def wait(self, timeout=None):
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            said = os.read(self._status, 100)
            os.close(self._status)
            assert said, f"what has forked process {self.pid} is gone"
            self.returncode = int(said)
        return self.returncode

    def poll(self):
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class _Loaded:
    """The process that forks, as the tests see it."""

    def __init__(self, *, with_plugins):
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._looked_at = _looked_at(os.environ)
        environ = {**os.environ, "PYTHONPATH": str(_REPOSITORY)}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), *["plugins"] * with_plugins],
                pass_fds=[theirs.fileno()], env=environ,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, process_group=0,
            )  # fmt: skip
        atexit.register(self._end)

    def fits(self, env):
        """Whether a process with this environment would have loaded the same."""
        return _looked_at(env) == self._looked_at and env.get("PYTHONPATH") == str(_REPOSITORY)

    def fork(self, command, output, errors, cwd, env):
        files = [output.fileno(), errors.fileno()]
        order = {"command": command, "cwd": str(cwd), "environ": dict(env)}
        status, theirs = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._control, [json.dumps(order).encode()], [*files, theirs])
                pid = int(self._control.recv(100))
        finally:
            os.close(theirs)
        return Forked(command, pid, status)

    def _end(self):
        self._control.close()
        self._process.wait()


def _looked_at(env):
    return {
        name: value for name, value in env.items() if name.startswith(_LOOKED_AT) and name != "PYTHONPATH"
    }


@cache
def _loaded(with_plugins):
    return _Loaded(with_plugins=with_plugins)


def start(command, log, *, cwd, env, **options):
    """Start ``command``, with its output to the file ``log``; fork it, if that makes no difference.

    ``options`` are those of ``subprocess.Popen``; with any, and for other commands, that starts it.
    """
    if not options and (loaded := _loaded_for(command, cwd, env)):
        return loaded.fork(command, log, log, cwd, env)
    return subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=cwd, env=env,
        **{"process_group": 0, **options},
    )  # fmt: skip


def run(command, *, env, timeout, cwd=None):
    """Run ``command`` to its end, forked if that makes no difference; return what ``subprocess.run`` does."""
    cwd = cwd or os.getcwd()
    if (loaded := _loaded_for(command, cwd, env)) is None:
        return subprocess.run(
            command, capture_output=True, text=True, env=env, timeout=timeout, cwd=cwd, check=False
        )
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = loaded.fork(command, output, errors, cwd, env)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        said = (os.pread(each.fileno(), 1 << 24, 0).decode() for each in (output, errors))
        return subprocess.CompletedProcess(command, status, *said)


def _loaded_for(command, cwd, env):
    """Return the process that has loaded what ``command`` would load first, if there can be one."""
    python, option, program, *words = command
    if (python, option) != (sys.executable, "-m") or program not in _PROGRAMS:
        return None
    said = [*words]
    for name, value in pairwise(words):
        if name == "--config" and (config := Path(cwd, value)).is_file():
            said.append(config.read_text("utf-8", "replace"))
    loaded = _loaded(with_plugins=not any("cooperative" in each for each in said))
    return loaded if loaded.fits(env) else None


# -- the process that forks -------------------------------------------------------------------------------


def _main(control, *, with_plugins):
    sys.path.pop(0)  # the folder of tests
    for name in _MODULES:
        __import__(name)
    if with_plugins:
        for plugin in importlib.metadata.distribution("skitai").entry_points.select(group="skitai"):
            plugin.load()
    assert "twisted.internet.reactor" not in sys.modules
    gc.collect()
    gc.freeze()  # each that is forked would collect garbage, and copy what it looks at
    order, output, errors = _forked(control)
    control.close()  # not later by the object, whose descriptor is another one then
    os.setpgid(0, 0)
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), output, errors)):
        os.dup2(descriptor, number)
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the folder itself
            if int(name) > 2:
                os.close(int(name))
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environ"])
    time.tzset()
    sys.path.insert(0, order["cwd"])
    sys.orig_argv[:] = order["command"]
    _, _, program, *words = order["command"]
    sys.argv[1:] = words
    runpy.run_module(program, run_name="__main__", alter_sys=True)


def _forked(control):
    """Fork whenever that is ordered; return the order, and two files, in the process that was forked."""
    children = {}
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in children:
                poll.unregister(descriptor)
                os.close(descriptor)
                pid, status = children.pop(descriptor)
                with suppress(BrokenPipeError):
                    os.write(status, b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                os.close(status)
                continue
            order, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 3)
            if not order:
                os._exit(0)  # the tests have ended
            output, errors, status = descriptors
            if (pid := os.fork()) == 0:
                return json.loads(order), output, errors
            os.close(output)
            os.close(errors)
            watched = os.pidfd_open(pid)
            children[watched] = pid, status
            poll.register(watched, select.POLLIN)
            control.send(b"%d" % pid)


if __name__ == "__main__":
    _main(socket.socket(fileno=int(sys.argv[1])), with_plugins="plugins" in sys.argv)
