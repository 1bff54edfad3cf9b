"""The command line: what options mean, and what is said of those that are none."""

import re
from pathlib import Path

import pytest
from twisted.python.usage import Options as TwistedOptions
from twisted.python.usage import UsageError

from skitai.command.options import Options
from skitai.command.words import _HINTS as HINTS
from skitai.config import SERVER_KEYS, Given, sample_config, yes_no


def parsed(*words, parent=None):
    options = Options()
    options.parent = parent
    options.parseOptions(list(words))
    return options


@pytest.mark.parametrize(
    ("words", "overrides"),
    [
        ((), {}),
        (("-p", "8000"), {"port": "8000"}),
        (("--host", "0.0.0.0", "--port=80"), {"ip": "0.0.0.0", "port": "80"}),
        (("--host", "localhost"), {"ip": "127.0.0.1"}),
        (("-w", "4", "-t", "8"), {"processes": "4", "threads": "8"}),
        (("--workers", "auto"), {"processes": "auto"}),
        (("--reload",), {"reloader": "yes"}),
        (("--reloader", "--cooperative"), {"reloader": "yes", "cooperative": "yes"}),
        (("--no-preload", "--no-http2"), {"preload": "no", "http2": "no"}),
        (("--access-logfile", "-"), {"access_log": "-"}),
        (("--access-log", "off"), {"access_log": "off"}),
        (("--timeout", "120"), {"worker_timeout": "120"}),
        (("--graceful-timeout", "5", "--keep-alive", "2"), {"shutdown_timeout": "5", "keep_alive": "2"}),
        (
            ("--max-requests", "100", "-u", "www", "-g", "web"),
            {"max_requests": "100", "user": "www", "group": "web"},
        ),
        (("-n", "shop"), {"name": "shop"}),
        (("--uds", "/run/x"), {"unix_socket": "/run/x"}),
        (("-b", "8000"), {"listen": "8000"}),
        (("-b", ":8000"), {"listen": "8000"}),
        (("--listen=*:8000",), {"listen": "8000"}),
        (("-b", "*"), {"listen": "5000"}),
        (("-b", "0.0.0.0"), {"listen": "0.0.0.0:5000"}),
        (("-b", "localhost:80"), {"listen": "127.0.0.1:80"}),
        (("-b", "[::1]"), {"listen": "[::1]:5000"}),
        (("-b", "[::1]:80", "--bind=unix:/run/x y"), {"listen": "[::1]:80, unix:/run/x y"}),
        (("-b", "443 ssl"), {"listen": "443 ssl"}),
        (("--listen", "80"), {"listen": "80"}),
        (
            ("app", "--cert", "a.pem", "--key", "b.pem"),
            {"certfile": "a.pem", "keyfile": "b.pem", "ssl": "yes"},
        ),
        (("app", "--certfile", "a.pem", "-b", ":443"), {"certfile": "a.pem", "listen": "443 ssl"}),
        (("-c", "x.conf", "--certfile", "a.pem"), {"certfile": "a.pem"}),
    ],
)
def test_keys(words, overrides):
    """Options are keys of [server]; people of other servers find the names that they know."""
    assert parsed(*words).overrides == overrides


def test_every_key_is_an_option():
    """A key with underscores is an option with hyphens; yes and no need no value."""
    for key, declared in SERVER_KEYS.items():
        option = f"--{key.replace('_', '-')}"
        if key == "listen":
            continue
        if declared.cast is yes_no:
            assert parsed(option).overrides == {key: "yes"}
            assert parsed(f"--no-{option[2:]}").overrides == {key: "no"}
        else:
            assert parsed(option, "words").overrides == {key: "words"}


def test_spelt():
    """Messages name options as they were written."""
    assert parsed("-w", "2", "--host=x", "--reload").spelt == {
        "processes": "-w",
        "ip": "--host",
        "reloader": "--reload",
    }


def test_source(tmp_path, monkeypatch):
    """It is a file, an app with folders, or the sample app."""
    monkeypatch.chdir(tmp_path)
    assert parsed().source == sample_config()
    assert parsed("--config", "x.conf").source == Path("x.conf")
    assert parsed("app:app").source == Given("app:app", (), tmp_path)
    assert parsed("--app", "app:app").source == Given("app:app", (), tmp_path)
    assert parsed("--static", "/=a", "-A", "app", "--static=/b=b").source == Given(
        "app", ("/=a", "/b=b"), tmp_path
    )


def test_without_a_word(tmp_path, monkeypatch):
    """``skitai`` alone serves the app that ``flask run`` would find, in a file beside a folder, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").touch()
    assert parsed().source == Given("app", (), tmp_path)
    assert parsed("--reload", "-p", "80").source == Given("app", (), tmp_path)
    (tmp_path / "app").mkdir()
    assert parsed().source == Given("app:", (), tmp_path)
    (tmp_path / "wsgi.py").touch()
    assert parsed().source == Given("wsgi", (), tmp_path)
    assert parsed("shop:app").source == Given("shop:app", (), tmp_path)
    assert parsed("--config", "x.conf").source == Path("x.conf")
    assert parsed("--static", "/=a").source == Given(None, ("/=a",), tmp_path)


def test_a_project_of_django(tmp_path, monkeypatch):
    """``skitai`` alone serves it; of two, one is to be named; a flat file comes first."""
    monkeypatch.chdir(tmp_path)
    for name in ("mysite", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "mysite" / "wsgi.py").touch()
    assert parsed()["app"] is None
    (tmp_path / "manage.py").touch()
    assert parsed().source == Given("mysite.wsgi", (), tmp_path)
    with pytest.raises(UsageError, match=r"Django's own command: .* write skitai mysite.wsgi$"):
        parsed("manage.py", "runserver")
    with pytest.raises(UsageError, match=r"write skitai mysite.wsgi --bind 0.0.0.0:8000$"):
        parsed("manage.py", "runserver", "0.0.0.0:8000")
    with pytest.raises(
        UsageError, match=r"command runserver: to serve an app, write skitai mysite.wsgi --bind 8000$"
    ):
        parsed("runserver", "8000")
    (tmp_path / "other" / "wsgi.py").touch()
    with pytest.raises(
        UsageError, match=r"write which one to serve: skitai mysite.wsgi or skitai other.wsgi$"
    ):
        parsed()
    (tmp_path / "app.py").touch()
    assert parsed().source == Given("app", (), tmp_path)


def test_the_folder_of_an_app(tmp_path, monkeypatch):
    """Its files, which are its source, are served only if that is said with a slash."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    assert parsed("shop").source.app == "shop"
    (tmp_path / "shop" / "app.py").touch()
    with pytest.raises(
        UsageError, match=r"write skitai shop/app for the app in shop/app.py, or shop/ to serve"
    ):
        parsed("shop")
    assert parsed("shop/").source.app == "shop/"
    monkeypatch.chdir("shop")
    with pytest.raises(
        UsageError, match=r"write skitai app for the app in app.py, or ./ to serve . as files"
    ):
        parsed(".")


def test_what_is_there_is_no_command(tmp_path, monkeypatch):
    """A module or a folder that is called as a command of other programs is served."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.py").touch()
    (tmp_path / "server").mkdir()
    assert [parsed(word).source.app for word in ("run", "server", "serve:app")] == [
        "run",
        "server",
        "serve:app",
    ]


def test_the_app_may_come_first(tmp_path, monkeypatch):
    """Options stand before the app or behind it; the file of a module is the module."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").touch()
    options = parsed("app.py:create_app('a:b.py')", "--threads", "8", "--reload")
    assert options.source.app == "app:create_app('a:b.py')"
    assert options.overrides == {"threads": "8", "reloader": "yes"}
    assert parsed("app.py").source.app == "app"
    assert parsed("other.py:app").source.app == "other.py:app"
    (tmp_path / "app").mkdir()  # as with templates in it
    assert parsed("app").source.app == parsed("app.py").source.app == "app:"
    assert parsed("app/").source.app == "app/"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("site.conf",), "to serve what site.conf says, write --config site.conf"),
        (("a:app", "b:app"), "b:app is one too many: one app is served, and a configuration may name others"),
        (("a:app", "--app", "b:app"), "b:app is one too many: "),
        (("keys", "server", "port"), "server is one too many: "),
        (("run",), "there is no command run: to serve an app, write skitai app:app"),
        (("serve", "--port", "80"), "there is no command serve: to serve an app, write skitai app:app"),
        (("run", "shop:app", "--reload"), "there is no command run: to serve an app, write skitai shop:app"),
        (("--app", "shop:app", "run"), "there is no command run: to serve an app, write skitai shop:app"),
        (
            ("runserver", "0.0.0.0:8000"),
            "there is no command runserver: to serve an app, write skitai app:app --bind 0.0.0.0:8000",
        ),
        (
            ("a:app", "[::]:80"),
            "[::]:80 is no app: to listen there, write skitai a:app --bind [::]:80",
        ),
        (("8000",), "8000 is no app: to listen there, write skitai --bind 8000"),
        (("stop",), "there is no command stop: skitaid keeps servers running in the background"),
        (("help",), "there is no command help: did you mean --help?"),
        (
            ("-c", "x.conf", "a:app"),
            "a:app and --config x.conf: what is served stands in [routes:line] there",
        ),
        (("-c", "x.conf", "--static", "/=a"), "--static /=a and --config x.conf: what is served "),
        (("--wrokers", "3"), "there is no option --wrokers: did you mean --workers?"),
        (("--bodymax", "3"), "there is no option --bodymax: did you mean --body-max?"),
        (("--worker-class", "gevent"), "there is no option --worker-class: apps run in threads; "),
        (("-k", "gevent"), "there is no option -k: apps run in threads; "),
        (
            ("--max-request-body-size=1",),
            "--max-request-body-size: did you mean --body-max?",
        ),
        (("--uid", "www"), "there is no option --uid: did you mean --user?"),
        (("--ca-certs=a.pem",), "there is no option --ca-certs: did you mean --client-ca?"),
        (("--channel-timeout=9",), "there is no option --channel-timeout: did you mean --response-timeout?"),
        (("--root-path=/shop",), "there is no option --root-path: the config mounts an app below a path"),
        (("--http", ":80"), "there is no option --http: did you mean --bind?"),
        (("--pr=80",), "there is no option --pr: did you mean --"),
        (("-e", "A=b"), "there is no option -e: set variables before the command: NAME=value"),
        (("--settings=a.b",), "there is no option --settings: set it before the command: DJANGO_SETTINGS"),
        (("--no-server-header",), "there is no option --no-server-header: there is no such setting here"),
        (("-Z",), "there is no option -Z: known are those of skitai --help"),
        (("--daemon",), "there is no option --daemon: skitaid keeps servers running in the background"),
        (("--debug",), "there is no option --debug: --reload loads changed code; "),
        (("--factory",), "there is no option --factory: write the call: skitai module:create_app()"),
        (("--zzzzzzzzzz",), "there is no option --zzzzzzzzzz: known are those of skitai --help"),
        (("--port",), "option --port requires argument"),
        (("--check=yes",), "option --check takes no value"),
        (
            ("--preload=no", "app:app"),
            "option --preload takes no value: write --preload or --no-preload, or preload = yes or no in",
        ),
        (
            ("--no-reloader=yes",),
            "option --no-reloader takes no value: write --reload or --no-reload, or reloader = yes or no in",
        ),
        (("app:app", "--preload", "no"), "no is no app, and flags take no value: write --preload or --no-"),
        (("--ssl", "True"), "True is no app, and flags take no value: "),
        (("--log-level", "loud"), "--log-level: must be debug, info, warning, error or critical, not 'loud'"),
        (("--log-level", "debug"), "--log-level is for skitai and twist skitai"),
    ],
)
def test_refused(tmp_path, monkeypatch, words, message):
    """What is no option or cannot be meant is one sentence, with the nearest kin."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.conf").touch()
    with pytest.raises(UsageError, match=re.escape(message)):
        parsed(*words)


@pytest.mark.parametrize("key", [key for key, declared in SERVER_KEYS.items() if declared.cast is yes_no])
def test_each_flag_takes_no_value(key):
    """Whatever it is called on the command line, the key and both flags are named."""
    with pytest.raises(UsageError, match=rf"write --(.+) or --no-\1, or {key} = yes or no in"):
        parsed(f"--{'reload' if key == 'reloader' else key.replace('_', '-')}=no")


@pytest.mark.parametrize("option", HINTS)
def test_each_hint_is_given(option):
    """None is of an option that there is, or that is taken for the beginning of one."""
    with pytest.raises(UsageError, match=re.escape(HINTS[option])):
        parsed(f"--{option}" if len(option) > 1 else f"-{option}")


def test_options_of_twist():
    """The log is that of twist, whose options may stand behind the command."""

    class Parent(TwistedOptions):
        taken = ()

        def opt_log_level(self, value):
            self.taken += (value,)

        opt_log_file = opt_log_format = opt_log_level

    parent = Parent()
    parsed("--log-level=warn", "app:app", "--log-file", "x.log", "--log-format=json", parent=parent)
    assert parent.taken == ("warn", "x.log", "json")
    parsed("--log-level", "WARNING", parent=parent)  # as in Python
    assert parent.taken[-1] == "warn"


def test_help():
    """It has what people want first, in lines of a terminal, and says where all else is told of."""
    text = parsed().getUsage(80)
    assert re.search(r"^  -w, --processes= +Serve in this many worker processes", text, re.MULTILINE)
    assert re.search(r"^  -b, --bind= ", text, re.MULTILINE)
    assert "--http2-streams" not in text
    assert "skitai keys server" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    assert parsed("--http2-streams", "5").overrides == {"http2_streams": "5"}


def test_keys_command():
    """``keys`` is a command, with a section or a key behind it."""
    assert parsed("app:app").keys_of is None
    assert parsed("keys").keys_of == ""
    assert parsed("keys", "server").keys_of == "server"
