"""Resolves names without a thread for each: the hosts file, then DNS, then the system's own resolver."""

from skitai.net.dns.resolver import Resolver

__all__ = ["Resolver"]
