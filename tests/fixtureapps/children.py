"""Views that begin processes and wait for them."""

import os
import subprocess
import sys
import time

from skitai import was


def run():
    ended = subprocess.run(["sh", "-c", "sleep 0.1; echo said; exit 3"], capture_output=True, text=True)
    return f"{ended.returncode} {ended.stdout.strip()}"


def function():
    """Run it in a real thread."""
    return was.run(run).getwait(10, reraise=True).data


def poll():
    process = subprocess.Popen(["sleep", "0.1"])
    return f"{process.poll()} {process.wait(10)} {process.poll()}"


def late():
    try:
        subprocess.run(["sleep", "30"], timeout=0.1)
    except subprocess.TimeoutExpired as error:
        return type(error).__name__


def _fork():
    child = os.fork()
    if not child:
        time.sleep(0.05)
        os._exit(7)
    return child


def fork():
    return os.waitstatus_to_exitcode(os.waitpid(_fork(), 0)[1])


def _status_of_child(leave):
    """Return the exit status of a child that does not end by os._exit, as a child of an app should."""
    child = os.fork()
    if not child:
        leave()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def returns():
    child = os.fork()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else "astray"


def exits():
    return [_status_of_child(lambda status=status: sys.exit(status)) for status in (None, 3, "words")]


def wait_for_any():
    child = _fork()
    return os.waitpid(-1, 0)[0] == child


def system():
    return os.waitstatus_to_exitcode(os.system("exit 4"))


VIEWS = {
    "/run": run,
    "/function": function,
    "/poll": poll,
    "/late": late,
    "/fork": fork,
    "/any": wait_for_any,
    "/returns": returns,
    "/exits": exits,
    "/system": system,
}


def app(environ, start_response):
    body = VIEWS[environ["PATH_INFO"]]()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(body).encode()]
