"""From a path to a view, and back to the URL."""
