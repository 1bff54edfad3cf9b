"""``was.rooms``: rooms whose members get every message, on all machines that share a bus.

``service`` is what apps hold; its calls are ``operations``, which the ``house`` does: all rooms of a worker.
A ``liveroom`` is one of them while somebody is in it: it takes the ``messages`` of the bus, and ``fanout``
gives each to all ``members``, a few at a time; ``catchup`` gives the history to one who comes back. A member
is a websocket or one of the ``streams`` of server-sent ``events``.
"""
