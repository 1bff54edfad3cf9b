"""A folder with things to mount, and ways to load a text from it."""

import pytest

from skitai.config import load
from skitai.errors import ConfigError


class Site:
    """A folder with a static directory, apps and a certificate; ``site.conf`` is written on each load."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "site.conf"
        (folder / "static").mkdir()
        (folder / "pkg").mkdir()
        for name in ("wsgi.py", "other.py", "pkg/__init__.py", "pkg/sub.py", "server.pem"):
            (folder / name).write_text("")

    def load(self, text, overrides=None, **options):
        self.file.write_bytes(text if isinstance(text, bytes) else text.encode())
        options.setdefault("certificates", self.folder / "certificates")
        return load(self.file, overrides or {}, **options)

    def error(self, text, overrides=None):
        """Return the one line that refuses the text, without the folder's name in it."""
        with pytest.raises(ConfigError) as caught:
            self.load(text, overrides)
        return self.shorten(caught.value)

    def shorten(self, error):
        line = str(error)
        assert len(line.splitlines()) == 1
        return line.replace(f"{self.folder}/", "")

    def routes(self, *lines):
        return self.load("\n".join(("[routes:line]", *lines)))

    def routes_error(self, *lines):
        return self.error("\n".join(("[routes:line]", *lines)))


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)
