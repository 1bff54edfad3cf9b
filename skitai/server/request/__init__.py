"""One request, whatever protocol carried it."""
