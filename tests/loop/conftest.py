"""App code of a small world of calls, in either kind of executor."""

from call_fakes import apps, in_greenlets, in_threads, world

__all__ = ["apps", "in_greenlets", "in_threads", "world"]
