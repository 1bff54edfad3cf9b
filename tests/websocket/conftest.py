"""App code in either kind of executor, as in the tests of calls."""

from call_fakes import apps, in_greenlets, in_threads, world

__all__ = ["apps", "in_greenlets", "in_threads", "world"]
