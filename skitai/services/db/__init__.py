"""Databases as ``was.db``: what the plugins of PostgreSQL and SQLite share.

``service`` is ``was.db``: it turns arguments into nodes and statements, and hands these to an *engine*
(``interfaces.IEngine``), which each plugin gives. ``query``, ``rows`` and ``result`` go between all of them.

Apps hold a ``statement``, a ``transaction``, which is a ``block``, or notifications (``listening``).
``pinned`` is the reactor's side of a transaction, whose steps take ``turn``; ``rehearsal`` stands for its
connection in tests. ``reading`` looks into the SQL, ``keys`` are those of kept results, and ``timing`` counts
for the status page.
"""
