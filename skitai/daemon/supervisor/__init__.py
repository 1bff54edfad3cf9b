"""The process that holds the sockets of a server with several workers, and sees to it that they are there.

It has no reactor, no app and no plugin, and does not read the config: a nursery does, and says what it wants
(``skitai.processes.orders``).

- ``roster`` decides: who is wanted, who is replaced, and when. It has neither clocks nor processes.
- ``pauses`` is how long to wait where workers keep dying at their start.
- ``process`` does it: the loop, signals, and what is said to nurseries and workers.
- ``nurseries`` starts nurseries, ``sockets`` keeps what they listen on.
- ``notify`` tells systemd.
"""
