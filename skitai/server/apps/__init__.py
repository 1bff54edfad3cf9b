"""Finding, loading and reloading an app's code."""
