"""Who blocks: what the log says of it, and how the process ends in spite of it.

- ``watcher`` is the thread that looks, by ``reactor`` and ``deadlock`` at what holds the reactor, and by
  ``threads`` at what runs in the threads of apps.
- ``blocking``, ``queues`` and ``patience`` are the rules, without threads or clocks of their own.
- ``stacks`` and ``locks`` read frames: where code is, and which lock it waits for.
- ``reports`` are the lines of the log.
- ``signals`` keeps the server's handlers of signals where apps set their own.
- ``lastresort`` ends a process that does not end at a signal. It and ``deadlock`` use ``interrupts``.
"""
