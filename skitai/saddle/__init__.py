"""Saddle, the micro-framework: plain functions that get ``was``.

It needs no Skitai around it: any WSGI server runs its apps, without the services of ``was``.
"""

from skitai.saddle.app import Saddle
from skitai.saddle.errors import HTTPError
from skitai.saddle.part import Saddlery
from skitai.saddle.visitor.sessionstore import MemorySessions

__all__ = ["HTTPError", "MemorySessions", "Saddle", "Saddlery"]
