"""Sockets: addresses, connections, TLS, proxies and listening, for the server and every client."""
