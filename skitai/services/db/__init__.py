"""Databases as ``was.db``: what the plugins of PostgreSQL and SQLite share.

``service`` is ``was.db``: it turns arguments into nodes and statements, and hands these to an *engine*
(``interfaces.IEngine``), which each plugin gives. ``statement`` and ``transaction`` are what apps hold,
``listening`` is how they hear notifications; ``query``, ``rows`` and ``result`` go between all of them.
"""
