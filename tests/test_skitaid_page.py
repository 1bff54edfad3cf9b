"""The examples of docs/skitaid.md and of etc/skitaid.conf are what skitaid takes."""

import re

from serving import REPOSITORY
from skitai.daemon.cron.crontab import CRON_KEYS, read_crontab
from skitai.daemon.skitaid.command import _COMMANDS
from skitai.daemon.skitaid.places import find_places

PAGE = (REPOSITORY / "docs" / "skitaid.md").read_text()


def test_jobs_of_the_page(tmp_path):
    """The jobs of the page are jobs."""
    path = tmp_path / "skitaid.conf"
    path.write_text(re.search(r"```ini\n(.*?)```", PAGE, re.DOTALL)[1])
    crontab = read_crontab(path)
    assert (len(crontab.jobs), crontab.errors) == (3, ())
    assert crontab.jobs[2].timeout == 7200


def test_sample(tmp_path):
    """The sample has the defaults, also with its examples as they are without their semicolons."""
    sample = (REPOSITORY / "etc" / "skitaid.conf").read_text()
    path = tmp_path / "skitaid.conf"
    for text in (sample, re.sub(r"^; +(?=\S+ = /var|[*\d].* /home)", "", sample, flags=re.MULTILINE)):
        path.write_text(text)
        places = find_places({"config": str(path)}, {}, 0)
        assert (str(places.logs), str(places.var)) == ("/var/log/skitaid", "/var/local/skitaid")
        assert places.warnings == ()
        crontab = read_crontab(path)
        assert crontab.errors == ()
        assert crontab.shutdown_timeout == CRON_KEYS["shutdown_timeout"].default
    assert [(job.timeout, job.overlap) for job in crontab.jobs] == [(0, False), (600, False)]


def test_commands():
    """The table has all commands."""
    table = PAGE.partition("| Command |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z]+)`(?=[,` |])", table)) == set(_COMMANDS)
