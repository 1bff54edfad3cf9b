"""Passwords: Basic and Digest authentication."""
