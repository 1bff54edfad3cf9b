"""PostgreSQL behind ``was.db``: the engine of the plugin, over txpostgres.

``node`` reads addresses, ``driver`` is one connection, ``pool`` keeps the connections of one database,
``engine`` executes statements over them.
"""
