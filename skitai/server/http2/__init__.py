"""HTTP/2 (RFC 9113): connections with many requests at a time."""
