"""WSGI apps (PEP 3333) as Twisted resources."""

from skitai.server.wsgi.resource import WSGIResource

__all__ = ["WSGIResource"]
