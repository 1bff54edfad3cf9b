"""Files of a directory (RFC 9110, sections 13 and 14)."""
