"""WSGI apps: finding, loading and reloading their modules."""
