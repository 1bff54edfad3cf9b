"""The section ``[redis]``, and what is said of it before the start."""

import pytest

from serving import FIXTURE_APPS, config_text
from skitai.config.http import TLS_KEYS
from skitai.errors import ConfigError
from skitai.net.client_tls import TLSContexts, TLSProfile
from skitai.services.redis.settings import KEYS, settings_of
from skitai.services.redis.url import parse_url, show_url
from skitai.tap import Options, makeService

ROUTES = {"/": f"{FIXTURE_APPS}/echo:app"}


class TestURL:
    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("redis://cache", ("cache", 6379, False, 0, None, None)),
            ("redis://cache/", ("cache", 6379, False, 0, None, None)),
            ("redis://Cache.example.com:7000/12", ("cache.example.com", 7000, False, 12, None, None)),
            ("rediss://10.0.0.1", ("10.0.0.1", 6379, True, 0, None, None)),
            ("redis://[::1]:6380/1", ("::1", 6380, False, 1, None, None)),
            ("redis://:s3cret@cache/2", ("cache", 6379, False, 2, None, "s3cret")),
            ("redis://web:s3cret@cache", ("cache", 6379, False, 0, "web", "s3cret")),
            ("redis://web@cache", ("cache", 6379, False, 0, "web", None)),
            ("rediss://w%40b:p%2F%3A%40%25@cache", ("cache", 6379, True, 0, "w@b", "p/:@%")),
        ],
    )
    def test_forms(self, text, wanted):
        url = parse_url(text)
        assert (url.host, url.port, url.tls, url.database, url.user, url.password) == wanted
        assert "s3cret" not in repr(url) + show_url(url)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "cache:6379",
            "http://cache",
            "redis://",
            "redis://:s3cret@",
            "redis://u:s3cret@cache:x",
            "redis://u:s3cret@cache:70000",
            "redis://u:s3cret@cache/x",
            "redis://u:s3cret@cache/0?db=1",
            "redis://u:s3:cret@cache\n",
            "redis://u:s3cret@x@cache",
            "redis://u:s3cret@ca che",
            "redis://cache/123456",
        ],
    )
    def test_mistakes(self, text):
        """What cannot be is refused, in words without the password."""
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - each has words of its own
            parse_url(text)
        assert "s3cret" not in str(raised.value)


class TestSettings:
    @pytest.fixture
    def read(self, monkeypatch):
        """Return ``read(url, **values)``: the settings."""
        monkeypatch.delenv("REDIS_PASSWORD", raising=False)
        contexts = TLSContexts(TLSProfile())

        def make(url="redis://cache", **values):
            defaults = {name: key.default for name, key in KEYS.items()}
            return settings_of({**defaults, "url": parse_url(url), **values}, contexts)

        return make

    def test_the_places_of_a_password(self, read, monkeypatch, tmp_path):
        """The URL, a file, or the environment."""
        assert read().password is None
        monkeypatch.setenv("REDIS_PASSWORD", "from the environment")
        assert read().password == "from the environment"
        assert read("redis://:its@cache").password == "its"
        file = tmp_path / "password"
        file.write_text("from a file\n")
        settings = read("redis://web@cache", password_file=file)
        assert (settings.user, settings.password) == ("web", "from a file")
        assert "from a file" not in repr(settings)

    def test_a_password_file_that_cannot_be(self, read, tmp_path):
        """It is named, and the key."""
        empty, binary = tmp_path / "empty", tmp_path / "binary"
        empty.touch()
        binary.write_bytes(b"\xff")
        for file, text in [
            (tmp_path / "absent", "No such file"),
            (empty, "is empty"),
            (binary, "not a text in UTF-8"),
        ]:
            with pytest.raises(ConfigError, match=text) as raised:
                read(password_file=file)
            assert (raised.value.section, raised.value.key) == ("redis", "password_file")
        with pytest.raises(ConfigError, match="the URL has a password, too"):
            read("redis://:its@cache", password_file=empty)

    def test_tls(self, read, tmp_path):
        """As in [http], unless the section says otherwise."""
        assert read("rediss://cache").node.tls
        assert read("rediss://cache").node.profile is None
        assert read("rediss://cache", verify=False).node.profile == TLSProfile(verify=False)
        assert read("redis://cache", verify=False).node.profile is None
        with pytest.raises(ConfigError) as raised:
            read("rediss://cache", ca=tmp_path / "absent")
        assert (raised.value.section, raised.value.key) == ("redis", "ca")
        assert set(TLS_KEYS) < set(KEYS)


class TestCheck:
    @pytest.fixture
    def check(self, tmp_path, capsys):
        """Return ``check(text, **server)``: status, output and errors of ``twist skitai --check``."""

        def run(text, **server):
            (tmp_path / "site.conf").write_text(config_text(ROUTES, **server) + text)
            options = Options()
            options.parseOptions(["--config", str(tmp_path / "site.conf"), "--check"])
            with pytest.raises(SystemExit) as ended:
                makeService(options).startService()
            output = capsys.readouterr()
            return ended.value.code, output.out, output.err

        return run

    def test_no_password_is_shown(self, check):
        """--check shows the URL with stars."""
        status, output, errors = check("[redis]\nurl = rediss://web:s3cret@cache:1/2\n")
        assert (status, errors) == (0, "")
        assert "s3cret" not in output
        assert "url = rediss://web:****@cache:1/2" in output.splitlines()
        assert "timeout = 2" in output.splitlines()

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("[redis]\nurl = redis:/u:s3cret@cache\n", "[redis] url: must be redis://"),
            ("[redis]\nulr = redis://cache\n", "[redis] ulr: unknown key: did you mean url?"),
            ("[redis]\ntimeout = 0\n", "[redis] timeout: must be more than 0"),
            ("[redis]\nprefix =\n", "[redis] prefix: needs a value"),
        ],
    )
    def test_mistakes(self, check, text, error):
        """Each names the key and the line, and no password."""
        status, _, errors = check(text)
        assert status == 2
        assert error in errors
        assert "s3cret" not in errors
