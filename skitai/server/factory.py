"""The public name ``skitai.server.factory.HTTPFactory``; the code is in ``skitai.server.http1.factory``."""

from skitai.server.http1.factory import HTTPFactory

__all__ = ["HTTPFactory"]
