"""The process around the worker: what it writes, and later who starts it."""
