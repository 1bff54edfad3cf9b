"""Redis or Valkey behind several workers and machines, over txredisapi.

``plugin`` has the hooks, ``settings`` the section of the config, ``url`` the address of a Redis.
All commands go through the ``client``. It has a ``link`` for commands and one for subscriptions. A link keeps
a connection, and makes it anew when it is lost: ``connecting`` makes one, ``driver`` is txredisapi's protocol
with errors of ours, ``health`` tells the log and the status page how Redis is.
"""
