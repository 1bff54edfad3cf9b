"""Formats of data: XML-RPC, JSON-RPC, JSON, and lines of logs."""
