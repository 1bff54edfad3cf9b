"""An executor without threads or greenlets."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context

from zope.interface import implementer

from skitai.interfaces import IExecutor
from skitai.loop.contexts import run_in
from skitai.loop.lines import Limits, Line, Lines


@implementer(IExecutor)
class InlineExecutor:
    """Runs each task at once, in the thread that submits it; what a task raises gets out to the test.

    As in a server, each task has an empty context of its own.

    For a ``WSGIResource`` whose app should have run when ``render`` returns::

        with FakeWas() as fake:
            resource = WSGIResource(lambda: app, "", InlineExecutor(), fake.services, buffer_max=1 << 20)
    """

    multithread = False

    def __init__(self) -> None:
        self.lines = Lines(self._run, lambda: 0)

    def start(self) -> None:
        """Do nothing: there is nothing to make ready."""

    def stop(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def submit(self, task: Callable[[], None]) -> None:
        """Run ``task`` now."""
        self.lines.submit(task)

    def line(self, name: str, limits: Limits) -> Line:
        """Return a new line: nobody ever waits in it."""
        return self.lines.line(name, limits)

    def _run(self) -> None:
        for _ in range(self.lines.hand_out()):
            task = self.lines.take(self.lines.seconds())
            if task is not None:
                run_in(Context(), task)

    def statistics(self) -> dict[str, int]:
        """Nothing runs or waits when anybody can look."""
        return {"running": 0, "queued": 0}
