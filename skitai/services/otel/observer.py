"""What takes part in the hooks of requests and calls, for one instance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from opentelemetry.trace import get_current_span
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from skitai.loop import native
from skitai.services.otel.calls import CallSpans
from skitai.services.otel.describing import class_name
from skitai.services.otel.requests import RequestSpans
from skitai.services.otel.tracing import Tracing

if TYPE_CHECKING:
    from skitai.interfaces import IInstance
    from skitai.services.otel.settings import Settings

_log = Logger()

#: Seconds that the stop of a server waits for the last spans to be sent.
_FLUSH_SECONDS = 3.0


class Observer:
    """The traces of one instance."""

    def __init__(self, instance: IInstance, settings: Settings, may_begin: Callable[[], bool]) -> None:
        self._instance = instance
        self._tracing = Tracing(settings, may_begin)
        requests, calls = RequestSpans(self._tracing), CallSpans(self._tracing)
        self.skitai_request_started = requests.started
        self.skitai_request_finished = requests.finished
        self.skitai_call_started = calls.started
        self.skitai_attempt = calls.attempt
        self.skitai_call_finished = calls.finished

    def app_failed(self, error: BaseException) -> None:
        """Note what an app raised in the span of its request. Called in any thread, in that context."""
        span = get_current_span()
        if span.is_recording():
            span.record_exception(error)
            span.set_attribute("error.type", class_name(error))

    def stop(self) -> Deferred[None]:
        """Have our own provider send what waits; fire when it has, or the time is over. Reactor thread."""
        self._tracing.end()
        provider = self._tracing.providers.own
        if provider is None:
            return succeed(None)
        instance, stopped = self._instance, Deferred[None]()
        timer = instance.bridge.call_later(_FLUSH_SECONDS, self._give_up, stopped)

        def done() -> None:
            if timer.active():
                timer.cancel()
                stopped.callback(None)

        def flush() -> None:
            try:
                provider.shutdown()
            finally:
                instance.bridge.submit(done)

        if native.threads_are_greenlets():  # the processor's locks are those of greenlets, too
            instance.run(lambda _was: flush())
        else:
            native.start_thread(flush, "skitai-otel-end")
        return stopped

    def _give_up(self, stopped: Deferred[None]) -> None:
        _log.warn("the last traces were not sent within {seconds:g} s", seconds=_FLUSH_SECONDS)
        stopped.callback(None)
