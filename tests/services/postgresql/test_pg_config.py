"""The sections of PostgreSQL in the config, and servers without its driver."""

import pytest

from serving import FIXTURE_APPS, config_text
from skitai.services.postgresql import connecting
from skitai.tap import Options, makeService

ROUTES = {"/": f"{FIXTURE_APPS}/pgviews:app"}
CLUSTER = "[@main]\ntype = postgresql\n"


@pytest.fixture
def check(tmp_path, capsys):
    """Return ``check(text)``: status, output and errors of ``twist skitai --check``."""

    def run(text):
        (tmp_path / "site.conf").write_text(config_text(ROUTES) + text)
        options = Options()
        options.parseOptions(["--config", str(tmp_path / "site.conf"), "--check"])
        with pytest.raises(SystemExit) as ended:
            makeService(options).startService()
        output = capsys.readouterr()
        return ended.value.code, output.out, output.err

    return run


def test_no_password_is_shown(check, tmp_path):
    """--check shows the members, the options and the defaults, but no password in any form."""
    (tmp_path / "pgpass").touch()
    status, output, errors = check(
        "[postgresql]\nbytes_max = 1 MB\n"
        f"{CLUSTER}sslpassword = secret4\npassfile = pgpass\nsslmode = require\nmembers ="
        " a:1/d/u/secret1, postgresql://u:secret2@b/d 3, postgresql://c/d?user=u&password=secret3\n"
    )
    assert (status, errors) == (0, "")
    assert "secret" not in output
    for line in ("sslmode = require", "pool_max = 10", "prepare = yes", "rows_max = 100000"):
        assert line in output.splitlines()
    assert (
        "members = a:1/d/u/**** 1, postgresql://u:****@b/d 3, postgresql://c/d?user=u&password=**** 1"
        in output
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f"{CLUSTER}members = a:x/d/u/secret\n", "[@main] members: "),
        (f"{CLUSTER}sslmode = on\nmembers = a/d/u/secret\n", "[@main] sslmode: 'on' is not one of disable"),
        (f"{CLUSTER}password = secret\nmembers = a/d/u\n", "[@main] password: stands in each member"),
        (
            "[@main]\nmembers = a:1/d/u/secret\n",
            "[@main] members: an http member is host[:port]",
        ),
        (f"{CLUSTER}slmode = on\nmembers = a/d/u/secret\n", "[@main] slmode: "),
        (
            f"{CLUSTER}pool_max = 5\nmembers = a/d/u/secret\n",
            "[@main] pool_max: stands in the section [postgresql]",
        ),
        (
            f"{CLUSTER}pool_mx = 5\nmembers = a/d/u/secret\n",
            "[@main] pool_mx: unknown key: did you mean pool_max, in the section [postgresql]?",
        ),
        (
            f"{CLUSTER}flavour = 5\nmembers = a/d/u/secret\n",
            "[@main] flavour: unknown key: [postgresql] has bytes_max, pool_idle, ",
        ),
        (f"{CLUSTER}members = postgresql://u:secret@a/d?b=1\n", "b: unknown option in the URL"),
        ("[postgresql]\npool_max = 0\n", "[postgresql] pool_max: "),
        ("[postgresql]\npool_mx = 1\n", "[postgresql] pool_mx: "),
    ],
)
def test_wrong_configs(check, text, error):
    """What is wrong is named with its section and key, without the password."""
    status, output, errors = check(text)
    assert (status, output) == (2, "")
    assert error in errors
    assert "secret" not in errors


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile"])
def test_missing_files(check, tmp_path, name):
    """A file that a connection needs is looked for at once, in the folder of the config."""
    for text, key in (
        (f"{CLUSTER}{name} = none\nmembers = a/d/u/secret\n", f"{name}: "),
        (f"{CLUSTER}members = postgresql://u:secret@a/d?{name}=none\n", f"members: {name}: "),
    ):
        status, _, errors = check(text)
        assert (status, "secret" in errors) == (2, False)
        assert f"[@main] {key}{tmp_path}/none does not exist" in errors
    (tmp_path / "none").touch()
    assert check(text)[0] == 0


def test_authorities_of_the_system(check):
    """These are no file."""
    assert check(f"{CLUSTER}sslrootcert = system\nmembers = a/d/u/p\n")[0] == 0


def test_folder_of_sqlite(check, tmp_path):
    """The folder of a SQLite file is looked for, not the file itself, which the first statement may make."""
    text = "[@files]\ntype = sqlite3\nmembers = here.db, :memory:, data/there.db\n"
    status, _, errors = check(text)
    assert status == 2
    assert f"[@files] members: there is no folder {tmp_path}/data for data/there.db" in errors
    (tmp_path / "data").mkdir()
    assert check(text)[0] == 0


def test_no_driver(check, monkeypatch):
    """Without the driver a config with a database is refused, and says how to install it; others are not."""
    monkeypatch.setattr(connecting, "find_spec", lambda name: None)
    status, _, errors = check(f"{CLUSTER}members = a/d/u/p\n")
    assert status == 2
    assert "[@main] members: " in errors
    assert "pip install 'skitai[postgresql]'" in errors
    assert check("")[0] == 0
