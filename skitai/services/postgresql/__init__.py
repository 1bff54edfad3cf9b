"""PostgreSQL behind ``was.db``: the engine of the plugin, over txpostgres.

``engine`` is what ``was.db`` asks. It keeps a ``pool`` of connections for each database, and lends one to
each statement and to each ``session``, a transaction; ``listening`` has one for notifications. ``node`` reads
addresses, ``connecting`` goes from there to a connection, ``settings`` reads the config, and ``sessionstate``
knows after which statements a connection is not lent again.

``driver`` is one connection, and ``link`` its side of the reactor. ``prepared`` and ``placeholders`` prepare
statements, ``many`` executes one for many rows, ``cancelling`` has the server end one. ``values`` and
``errors`` convert what comes and goes; ``fetching``, ``bytecount`` and ``limits`` bound a result.
"""
