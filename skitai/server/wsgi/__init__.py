"""WSGI apps (PEP 3333) behind Twisted resources."""

from skitai.server.wsgi.resource import WSGIResource

__all__ = ["WSGIResource"]
