"""Websockets for WSGI apps: the handshake through the app, and three designs."""
