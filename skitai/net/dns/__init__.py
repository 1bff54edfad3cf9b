"""Names to addresses, without a thread for each: hosts file, DNS, and the system's resolver after them."""

from skitai.net.dns.resolver import Resolver

__all__ = ["Resolver"]
