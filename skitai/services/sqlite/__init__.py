"""SQLite behind ``was.db``: files that threads of their own read and write.

``engine`` is what ``was.db`` asks. It keeps a ``database`` for each file: one writer at a time, readers
beside it, whose connections wait in a ``stock``. A ``task`` is what a thread does with a ``connection``, and
what can be stopped; a ``session`` is a transaction. ``statements`` looks into the SQL, ``errors`` says who is
to blame, ``node`` names the files.
"""
