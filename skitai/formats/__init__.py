"""What travels in bodies: XML-RPC, JSON-RPC, JSON."""
