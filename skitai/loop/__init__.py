"""The reactor's turn, and the ways from app code into the reactor and back.

From below to above:

- ``native``: real threads and locks, also where the standard library is patched.
- ``switching``, ``hub``: how one greenlet lets another go on, and where greenlets wait.
- ``epolling``: how the reactor tells of what epoll has found.
- ``turn``, ``sending``: what is done together at the end of the reactor's turn.
- ``contexts``: the ``contextvars.Context`` that all parts of a request share.
- ``bridge``: how app code hands something to the reactor, and waits for it.
- ``threads``, ``greenlets``, ``executors``: where apps run, and which mount uses what.
- ``pool``: threads for single functions that block (``was.run``).
- ``coroutines``, ``awaiting``: a coroutine that the reactor runs for an app, and what it awaits.
- ``greenletloop``, ``asyncviews``: asyncio in a greenlet, and the views of Flask and Django that need it.
- ``background``: the reactor in a thread, for programs that serve nothing.
- ``cooperative``: greenlets that may wait for anything. It alone knows of gevent.
"""
