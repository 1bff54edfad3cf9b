"""Static files, with conditional and range requests (RFC 9110, sections 13 and 14)."""
