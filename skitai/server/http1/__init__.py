"""HTTP/1.1 connections (RFC 9112)."""
