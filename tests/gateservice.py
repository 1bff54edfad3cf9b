"""A service whose calls wait for the test."""

from twisted.internet.defer import Deferred

from skitai.calls.operation import Operation
from skitai.calls.service import Service


class GateService(Service):
    """``was.gate("host:1")`` is over when the test says so."""

    cluster_types = frozenset({"gate"})
    default_port = 1

    def __init__(self):
        self.waiting = []

    def operation(self, target):
        return Operation(target, None)

    def perform(self, node, operation):
        self.waiting.append(Deferred())
        return self.waiting[-1]
