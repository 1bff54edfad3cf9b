"""What a connection with TLS costs a server: a new one, and one that resumes a session.

All servers run at once, and take turns of a few connections. A machine that is shared with others is quick
now and slow a second later: so it is that for all servers alike, and two of them are compared turn by turn.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TextIO

from benchmarks import measure
from benchmarks.process import REPOSITORY, ServerFailedError, running
from benchmarks.progress import failures_noted, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.process import Placement, Running
    from benchmarks.report import Results
    from benchmarks.servers import Server

#: Connections of a turn, and the turns of each server in one round.
CONNECTIONS, TURNS = 20, 50
_WARM_UP = 100

#: The microseconds of processor time of one connection in each turn, by the name of the server.
Costs = dict[str, list[float]]


def add_handshakes(
    costs: dict[str, Costs], servers: Sequence[Server], placement: Placement, results: Results
) -> None:
    """Add one round of ``servers`` to ``costs``, which has ``"new"`` and ``"resumed"``.

    What fails is noted in ``results``, and left out.
    """
    with _client(placement) as client, ExitStack() as stack:
        processes: dict[Server, Running] = {}
        for server in servers:
            if server.label not in results.failures:
                with failures_noted(results, server.label):
                    processes[server] = stack.enter_context(running(server, placement))
                    client.connect(processes[server].port, _WARM_UP, "new")
        for _ in range(TURNS):
            for kind, samples in costs.items():
                for server, process in processes.items():
                    if server.label not in results.failures:
                        with failures_noted(results, server.label):
                            samples.setdefault(server.name, []).append(client.cost(process, kind))
    for kind, samples in costs.items():
        for server in servers:
            if turns := samples.get(server.name, [])[-TURNS:]:
                say(server.label, f"{kind} connection: {min(turns):,.0f} to {max(turns):,.0f} us CPU")


class _Client:
    """What connects: a process that does one turn after the other."""

    def __init__(self, commands: TextIO, answers: TextIO) -> None:
        self._commands, self._answers = commands, answers

    def connect(self, port: int, count: int, kind: str) -> None:
        """Open ``count`` connections; raises ServerFailedError if one fails, or resumes not as it should."""
        self._commands.write(f"{port} {count} {kind}\n")
        self._commands.flush()
        resumed = self._answers.readline()
        if not resumed:
            raise ServerFailedError("a connection failed")
        if int(resumed) != (count if kind == "resumed" else 0):
            raise ServerFailedError(f"{int(resumed)} of {count} {kind} connections resumed a session")

    def cost(self, process: Running, kind: str) -> float:
        """Return the microseconds that one connection of a turn takes the server."""
        before = measure.scheduled_seconds(process)
        self.connect(process.port, CONNECTIONS, kind)
        return (measure.scheduled_seconds(process) - before) / CONNECTIONS * 1e6


def ratio(costs: Costs, ours: Server, theirs: Server) -> float | None:
    """Return how many times the cost of ``theirs`` that of ``ours`` is: the median of all turns, or None.

    A turn of one server is compared with that of the other that came with it.
    """
    pairs = zip(costs.get(ours.name, ()), costs.get(theirs.name, ()), strict=False)  # one may have failed
    ratios = [our_cost / their_cost for our_cost, their_cost in pairs]
    return statistics.median(ratios) if ratios else None


@contextmanager
def _client(placement: Placement) -> Iterator[_Client]:
    command = ["taskset", "-c", str(placement.client_core), sys.executable, "-m", "benchmarks.tls_client"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield _Client(process.stdin, process.stdout)
        process.stdin.close()
