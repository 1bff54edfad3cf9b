"""A running forward proxy whose names the test resolves, and destinations that the test itself is."""

from __future__ import annotations

from base64 import b64encode

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import formatEvent, globalLogPublisher

from instances import RunningInstance, make_instance
from skitai.errors import CODE_DNS, UnsentError
from skitai.services import forward as forward_plugin
from skitai.services.http import plugin as http_plugin

#: The lists of a proxy that reaches the destinations of a test: they are on the loopback interface.
LISTS = "proxy_clients = 127.0.0.1\nproxy_destinations = 127.0.0.1:1-65535, *:1-65535"
PUBLIC, PRIVATE = "93.184.216.34", "10.1.2.3"


class Forward(RunningInstance):
    """``server`` are lines of [server]; ``names`` are answers by name: a list, or several, of which the last
    stays; what is no list is awaited."""

    def __init__(
        self, loop, folder, server=LISTS, http="", routes="", names=None, place="ip = 127.0.0.1\nport = 0"
    ):
        config = folder / "forward.conf"
        config.write_text(
            f"[server]\n{place}\naccess_log = off\nenable_proxy = yes\n{server}\n"
            f"[http]\n{http}\n[routes:line]\n{routes}\n"
        )
        self.names = dict(names or {})
        self.asked = []
        self.log = []
        instance = make_instance(loop.reactor, config, http=http_plugin, forward=forward_plugin)
        instance.connector.resolve = self._resolve
        globalLogPublisher.addObserver(self.log.append)
        super().__init__(loop, instance)

    def _resolve(self, host):
        self.asked.append(host)
        answers = self.names.get(host)
        if answers is None:
            return fail(UnsentError(f"host {host!r} was not found", code=CODE_DNS))
        if isinstance(answers, Deferred):
            return answers
        if answers and isinstance(answers[0], list):
            return succeed(answers.pop(0) if len(answers) > 1 else answers[0])
        return succeed(answers)

    @property
    def messages(self):
        """The lines that were logged."""
        return [formatEvent(event) for event in list(self.log)]

    def refusals(self):
        """The lines about requests that were refused."""
        return [line for line in self.messages if line.startswith("the forward proxy refuses")]

    def counts(self):
        """Return the row of the status page."""
        return self.loop.call(self.instance._overview)["Forward proxy"]

    def fetch(self, url, method="GET", fields=(), body=b""):
        """Ask for ``url`` on a connection of its own; the Host field says something else."""
        return self.ask(url, method, fields, body, host="ignored.example")

    def connect(self, authority, early=b"", fields=()):
        """Ask for a tunnel and return the client and the head of the answer."""
        client = self.client()
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        client.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{lines}\r\n".encode() + early)
        return client, client.read_head()

    def stop(self):
        super().stop()
        globalLogPublisher.removeObserver(self.log.append)


def basic(name, password, field="Proxy-Authorization"):
    """Return the field of a login."""
    return field, f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"
