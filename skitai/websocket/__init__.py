"""Websockets (RFC 6455), for the server and for ``was.ws`` alike."""
