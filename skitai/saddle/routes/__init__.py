"""Routes: from a path to a view, and from a view to its URL."""
