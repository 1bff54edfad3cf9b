"""Skitai: an application server that lets plain synchronous web apps talk to many machines at once."""

from skitai.context import CurrentWas

__version__ = "0.15.0"

was = CurrentWas()

__all__ = ["__version__", "was"]
