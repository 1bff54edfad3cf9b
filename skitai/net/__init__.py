"""Sockets for everybody: names, connections, TLS, proxies, listening."""
