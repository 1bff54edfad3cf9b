"""Clients of a real Redis, used from the test's thread."""

from __future__ import annotations

import os
import threading

import txredisapi  # noqa: F401 - it opens the files of the default reactor, which count for no client
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher

from serving import eventually
from skitai.net.addresses import HostNode
from skitai.net.connector import Connector
from skitai.services.redis.bus import RedisBus
from skitai.services.redis.client import RedisClient
from skitai.services.redis.settings import Settings


def settings_for(server, **more):
    """Return settings for a server of the tests; the time-outs are short."""
    given = {"connect_timeout": 1.0, "timeout": 0.3, **more}
    return Settings(given.pop("node", HostNode(server.host, server.port)), **given)


class Outcome:
    """What came of a coroutine or a Deferred that was begun in the reactor."""

    def __init__(self, loop, function, *args, **kwargs):
        self._got = []

        def begin():
            begun = function(*args, **kwargs)
            deferred = begun if isinstance(begun, Deferred) else Deferred.fromCoroutine(begun)
            deferred.addBoth(self._got.append)

        loop.call(begin)

    @property
    def over(self):
        return bool(self._got)

    def value(self):
        """Wait for the result; return it, or the exception."""
        eventually(lambda: self._got, "the outcome")
        (got,) = self._got
        return getattr(got, "value", got)


class Holds:
    """What this process holds: ``check()`` says that nothing was added."""

    def __init__(self, loop):
        self._loop = loop
        self._before = self._now()

    def _now(self):
        calls = len(self._loop.reactor.getDelayedCalls())
        return len(os.listdir("/proc/self/fd")), threading.active_count(), calls

    def check(self):
        def grown():
            return [now - then for now, then in zip(self._now(), self._before, strict=True)]

        eventually(lambda: max(grown()) <= 0, "the end of files, threads and timers")


class Log:
    """What is logged meanwhile."""

    def __init__(self):
        self.events = []
        globalLogPublisher.addObserver(self.events.append)

    @property
    def lines(self):
        return [line for line in self.all_lines if "Redis" in line]

    @property
    def all_lines(self):
        return [formatEvent(event) for event in list(self.events)]

    def close(self):
        globalLogPublisher.removeObserver(self.events.append)
        failures = [event["log_failure"].value for event in self.events if "log_failure" in event]
        assert [failure for failure in failures if str(failure) != "on purpose"] == []


class Client:
    """A RedisClient; ``close`` checks that nothing is left of it."""

    def __init__(self, loop, settings):
        self.loop = loop
        self._holds = Holds(loop)
        self.log = Log()
        connector = Connector(loop.reactor)
        self.client = loop.call(RedisClient, loop.reactor, connector, settings)

    def begin(self, *words, **options):
        return Outcome(self.loop, self.client.command, *words, **options)

    def ask(self, *words, **options):
        """Return the reply to a command, or the exception."""
        return self.begin(*words, **options).value()

    def script(self, *args, **options):
        return Outcome(self.loop, self.client.script, *args, **options).value()

    def statistics(self):
        return self.loop.call(self.client.statistics)

    @property
    def is_up(self):
        return self.loop.call(lambda: self.client.is_up)

    def until_up(self):
        eventually(lambda: self.is_up, "the connection")

    def until_away(self):
        eventually(lambda: not self.is_up, "the loss")

    def close(self):
        self.loop.call(self.client.close)
        self._holds.check()
        self.log.close()


class Listener:
    """Keeps what a subscriber gets: ``data`` of messages, and "interrupted"."""

    def __init__(self):
        self.messages = []
        self.heard = []

    def published(self, message):
        self.messages.append(message)
        self.heard.append(message.data)

    def interrupted(self, channel):
        self.heard.append("interrupted")


class Buses:
    """Buses on one Redis; ``close`` checks that nothing is left of them."""

    def __init__(self, loop, server, **settings):
        self.loop = loop
        self._settings = settings_for(server, **settings)
        self._holds = Holds(loop)
        self.log = Log()
        self._started = []

    def start(self, *, connected=True):
        """Return one more bus."""
        client = RedisClient(self.loop.reactor, Connector(self.loop.reactor), self._settings)
        bus = self.loop.call(RedisBus, client)
        self.loop.call(bus.start)
        self._started.append((bus, client))
        if connected:
            self.until_up()
        return bus

    def _all(self, condition):
        return all(self.loop.call(condition, bus, client) for bus, client in self._started)

    def until_up(self):
        """Wait until all are connected."""
        eventually(lambda: self._all(lambda bus, client: client.is_up and bus.is_up), "the connections")

    def until_away(self):
        """Wait until no connection is left."""
        eventually(lambda: self._all(lambda bus, client: not (client.is_up or bus.is_up)), "the loss")

    def connections_made(self):
        return sum(self.loop.call(client.statistics)["connections_made"] for _, client in self._started)

    def new_listener(self):
        return Listener()

    def listen(self, bus, channel="a"):
        """Return a listener that has subscribed."""
        listener = Listener()
        self.loop.call(bus.subscribe, channel, listener)
        return listener

    def publish(self, bus, data, channel="a", **history):
        return self.loop.call(bus.publish, channel, data, **history)

    def settle(self):
        """Wait until all is delivered: a message of each takes the way of those before it."""
        for bus, _ in self._started:
            listeners = [self.listen(other, "the end") for other, _ in self._started]
            self.publish(bus, b"", "the end")
            eventually(lambda listeners=listeners: all(listener.heard for listener in listeners), "the end")
            for (other, _), listener in zip(self._started, listeners, strict=True):
                self.loop.call(other.unsubscribe, "the end", listener)

    def stop(self, bus):
        """Stop one of them, as its process would."""
        (client,) = [client for started, client in self._started if started is bus]
        self._started.remove((bus, client))
        self.loop.call(lambda: Deferred.fromCoroutine(bus.stop()))
        self.loop.call(client.close)

    def kill(self, bus):
        """Cut one off without a word, as if its process had been killed."""
        (client,) = [client for started, client in self._started if started is bus]
        self._started.remove((bus, client))
        self.loop.call(client.close)
        self.loop.call(lambda: Deferred.fromCoroutine(bus.stop()))

    def close(self):
        for bus, _ in tuple(self._started):
            self.stop(bus)
        self._holds.check()
        self.log.close()
