"""Calls: request early, use late."""
