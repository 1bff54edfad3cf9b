"""Static files of a project of Django, served as docs/static.md says."""

import re
import subprocess
import sys

import pytest

from serving import REPOSITORY, RunningServer

_SECTION = (REPOSITORY / "docs" / "static.md").read_text("utf-8").partition("## Django")[2]
SETTINGS, URLS = re.findall(r"```python\n(.*?)```", _SECTION, re.DOTALL)
(COMMAND,) = re.findall(r"```sh\npython (.*)\n```", _SECTION)
(ROUTES,) = re.findall(r"```ini\n(.*?)```", _SECTION, re.DOTALL)


@pytest.fixture
def project(tmp_path):
    """The folder of a new project."""
    run(tmp_path, "-m", "django", "startproject", "mysite", ".")
    return tmp_path


def run(folder, *words):
    subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)


def serve(project, debug, routes):
    settings = project / "mysite" / "settings.py"
    text = settings.read_text().replace("DEBUG = True", f"DEBUG = {debug}")
    settings.write_text(text.replace("ALLOWED_HOSTS = []", "ALLOWED_HOSTS = ['*']"))
    return RunningServer(project, f"[server]\nip = 127.0.0.1\nport = 0\n{routes}", None)


def test_collected_files(project):
    """The style sheet that a page names is served for a year; what has no hash, for an hour."""
    with open(project / "mysite" / "settings.py", "a") as settings:
        settings.write(SETTINGS)
    run(project, *COMMAND.split())
    server = serve(project, debug=False, routes=ROUTES)
    try:
        page = server.ask("/admin/login/").body.decode()
        (name,) = re.findall(r'"(/static/admin/css/base\.[0-9a-f]{12}\.css)"', page)
        for path, seconds in ((name, 365 * 86400), ("/static/admin/css/base.css", 3600)):
            file = server.ask(path)
            assert (file.code, file["Content-Type"]) == (200, "text/css; charset=utf-8")
            assert file["Cache-Control"] == f"max-age={seconds}"
            assert b"body" in file.body
        assert server.ask("/static/admin/none.css").code == 404
    finally:
        server.stop()


def test_development(project):
    """With the line in urls.py, nothing has to be collected."""
    with open(project / "mysite" / "urls.py", "a") as urls:
        urls.write(URLS)
    server = serve(project, debug=True, routes="[routes:line]\n/ = mysite.wsgi\n")
    try:
        assert b"body" in server.ask("/static/admin/css/base.css").body
    finally:
        server.stop()
