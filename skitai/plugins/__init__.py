"""What a plugin author imports: ``hookimpl`` marks a function as an implementation of a hook."""

from skitai.plugins.hookspecs import hookimpl

__all__ = ["hookimpl"]
