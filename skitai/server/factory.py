"""The old place of ``HTTPFactory``, which lives in ``skitai.server.http1.factory``."""

from skitai.server.http1.factory import HTTPFactory

__all__ = ["HTTPFactory"]
