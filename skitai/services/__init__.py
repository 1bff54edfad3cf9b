"""The built-in services of ``was``, each a plugin like any other."""
