from pathlib import Path

import attrs
import pytest

from skitai.config import ServerConfig, describe
from skitai.errors import ConfigError
from skitai.net.endpoints import PortEndpoint, UnixEndpoint


def server_error(site, *lines, **overrides):
    return site.error("\n".join(("[server]", *lines)), overrides)


def test_defaults(site):
    """An empty file gives the documented defaults, and the file's name as the instance's."""
    server = site.load("").server

    assert server == ServerConfig(name="site")
    assert (
        server.port,
        server.threads,
        server.static_max_age,
        server.response_timeout,
        server.body_max,
        server.multipart_max,
        server.header_max,
        server.uri_max,
        server.response_buffer_max,
    ) == (5000, 4, 300, 10, 5 << 20, 100 << 20, 32 << 10, 8 << 10, 1 << 30)


def test_readme_section(site):
    """The README's own section loads; certificates are not looked for while ssl is off."""
    server = site.load(
        "[server]\nprocesses = 1\nthreads = 4  \nip =\nport = 5000\nssl = no\n"
        "; default path is /etc/skitaid/cert\ncertfile = skitai.com.ca.pem\nkeyfile = skitai.com.key.pem\n"
        "passphrase = passphrase\n\nenable_proxy = no\nstatic_max_age = 300\nnum_result_cache_max = 2000\n"
        "response_timeout = 10\nkeep_alive = 10\n"
    ).server

    assert attrs.evolve(server, certfile=None, keyfile=None, passphrase=None) == ServerConfig(name="site")


def test_values_are_frozen(site):
    """The values cannot be changed after loading."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        site.load("").server.port = 1


def test_logs(site):
    """Logs are a path in the file's folder, a dash, or off."""
    server = site.load("[server]\naccess_log = OFF\napp_log = static/app.log").server

    assert (server.access_log, server.app_log) == (None, site.folder / "static/app.log")
    assert (ServerConfig().access_log, ServerConfig().app_log) == ("-", "-")


def test_workers(site):
    """Limits are off unless they are given; ``auto`` are the cores that there are."""
    server = site.load("[server]\nprocesses = AUTO\nmax_memory = 200 MB\nmax_requests = off").server

    assert 1 <= server.processes <= 128
    assert (server.max_memory, server.max_requests, server.worker_timeout) == (200 << 20, 0, 30)
    assert site.load("[server]\nworker_timeout = off\nmax_requests = 9").server.max_requests == 9
    assert server.stop_seconds == server.response_timeout
    assert site.load("[server]\nshutdown_timeout = 2 min").server.stop_seconds == 120


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "processes = many",
            "must be a whole number of at least 1, not 'many'; auto takes one for each core",
        ),
        ("max_requests = -1", "must be a whole number of at least 0, not '-1'"),
        ("max_memory = much", "must be a number of bytes, or one with KB, MB or GB, not 'much'"),
        ("port = 70000", "must be a whole number from 0 to 65535, not '70000'"),
        (
            "threads = 4 # four",
            "must be a whole number from 0 to 10000, not '4 # four'; a comment begins with ;",
        ),
        ("threads = -1", "must be a whole number from 0 to 10000, not '-1'"),
        ("processes = 0", "must be a whole number of at least 1, not '0'"),
        ("processes = 129", "must be at most 128, not '129': run several servers"),
        ("ssl = maybe", "must be yes or no, not 'maybe'"),
        ("body_max = lots", "must be a number of bytes, or one with KB, MB or GB, not 'lots'"),
        ("response_timeout = 0", "must be more than 0, not '0'"),
        ("port =", "there is no address to listen on: give a port, a unix_socket or listen"),
        ("listen = 80, 80 ssl", "80 stands 2 times: keep one of them"),
        ("listen = 80,", "'' is no address: write PORT, IP:PORT, [IPV6]:PORT or unix:PATH"),
        ("listen = 443 ssl", "needs a certificate: set certfile"),
        ("listen = unix:missing/socket", "cannot make a socket in "),
        (
            "ip = localhost",
            "'localhost' is not an IP address such as 127.0.0.1; 0.0.0.0 or :: is all interfaces",
        ),
        ("name = a/b", "'a/b' cannot name a folder for logs: use letters, digits, - and _"),
        ("app_log = off", "cannot be off: give a path, or - for standard error"),
        ("treads = 4", "unknown key: did you mean threads?"),
        ("Port = 4", "unknown key: did you mean port?"),
        ("flavour = 4", "unknown key: known are access_format, "),
        ("workers = 4", "unknown key: did you mean processes?"),
        ("bind = :8000", "unknown key: did you mean listen?"),
        ("timeout = 30", "unknown key: did you mean response_timeout, queue_timeout or worker_timeout?"),
        ("log_path = /var/log/site", "unknown key: stands in the section [global]"),
    ],
)
def test_bad_values(site, line, problem):
    """A wrong value or key is refused with file, line, section, key and the fix."""
    key = line.partition(" ")[0]

    assert server_error(site, "; comment", line).startswith(f"site.conf:3: [server] {key}: {problem}")


def test_pass_phrase_is_an_alias(site):
    """The spelling of the original's sample file means the same, and not a second value."""
    assert site.load("[server]\npass_phrase = x").server.passphrase == "x"
    assert (
        server_error(site, "passphrase = x", "pass_phrase = y")
        == "site.conf:3: [server] pass_phrase: passphrase is at line 2 already"
    )


def test_passphrase_is_not_printed(site):
    """The representation of the values, which may end up in a log, lacks the passphrase."""
    assert "hunter2" not in repr(site.load("[server]\npassphrase = hunter2"))


def test_overrides_win(site):
    """Values of the command line win over those of the file."""
    server = site.load("[server]\nport = 80\nip = 10.0.0.1", {"port": "8080", "ip": "::1"}).server

    assert (server.port, server.ip) == (8080, "::1")


def test_override_without_section(site):
    """Values of the command line need no [server] section."""
    assert site.load("", {"port": "0"}).server.port == 0


@pytest.mark.parametrize(
    ("text", "overrides", "threads"),
    [
        ("cooperative = yes", {}, 0),
        ("cooperative = yes\nthreads = 4", {}, 4),
        ("threads = 4", {"cooperative": "yes"}, 0),
        ("cooperative = yes", {"threads": "4"}, 4),
        ("threads = 4", {"cooperative": "yes", "threads": "2"}, 2),
    ],
)
def test_cooperative_is_greenlets(site, text, overrides, threads):
    """Apps run in greenlets unless threads are asked for; on the command line, --cooperative asks, too."""
    assert site.load(f"[server]\n{text}", overrides).server.threads == threads


def test_overridden_paths_are_the_shells(site):
    """A relative path on the command line starts from the current folder, as everywhere in a shell."""
    assert site.load("", {"unix_socket": "run.sock"}).server.unix_socket == Path.cwd() / "run.sock"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"port": "70000"}, "--port: must be a whole number from 0 to 65535, not '70000'"),
        ({"static_max_age": "x"}, "--static-max-age: must be a number of seconds"),
        ({"prot": "1"}, "--prot: unknown option: did you mean port?"),
        ({"ssl": "yes"}, "--ssl: needs a certificate: set certfile"),
    ],
)
def test_bad_overrides(site, overrides, expected):
    """An error on the command line names the option instead of the file."""
    assert site.error("[server]\nport = 80", overrides).startswith(expected)


def test_bad_value_under_an_override(site):
    """A wrong value in the file is told even where the command line overrides it."""
    assert server_error(site, "port = x", port="80").startswith("site.conf:2: [server] port: must be")


def test_ssl_needs_a_certificate(site):
    """HTTPS without a certificate is refused."""
    assert server_error(site, "ssl = yes") == "site.conf:2: [server] ssl: needs a certificate: set certfile"


def test_certificates_are_looked_up_twice(site):
    """A certificate is looked up beside the file first, and then in the certificate folder."""
    certificates = site.folder / "certificates"
    certificates.mkdir()
    for name in ("server.pem", "key.pem"):
        (certificates / name).write_text("")

    server = site.load("[server]\nssl = yes\ncertfile = server.pem\nkeyfile = key.pem").server

    assert (server.certfile, server.keyfile) == (site.folder / "server.pem", certificates / "key.pem")


def test_missing_certificate(site):
    """A certificate that is in neither place is refused with both places."""
    expected = (
        "site.conf:3: [server] certfile: there is no file no.pem or certificates/no.pem: name the one to use"
    )

    assert server_error(site, "ssl = yes", "certfile = no.pem") == expected


def test_certificate_out_of_reach(site, monkeypatch):
    """A folder that only root may open, such as certbot's, is not said to have no such file."""
    usual = Path.stat

    def stat(path, **options):
        if path.name == "root.pem":
            raise PermissionError
        return usual(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert server_error(site, "ssl = yes", "certfile = root.pem") == (
        "site.conf:3: [server] certfile: cannot look for root.pem: its folder is not open to this user"
    )


def test_unix_socket_needs_its_folder(site):
    """A Unix socket in a folder that is not there is refused before anything listens."""
    expected = "site.conf:2: [server] unix_socket: cannot make a socket in no: name another folder"

    assert server_error(site, "unix_socket = no/socket") == expected


def test_warnings(site):
    """What is asked for in vain is accepted with a warning in the form of an error."""
    config = site.load("[server]\nproxy_clients = 10.0.0.0/8\n", {"processes": "2"})

    assert config.server.processes == 2
    assert config.warnings == (
        f"{site.file}:2: [server] proxy_clients: has no effect without enable_proxy = yes",
    )


def test_error_carries_its_place(site):
    """A ConfigError says where it points for programs as well as for people."""
    with pytest.raises(ConfigError) as caught:
        site.load("[server]\nport = x")

    error = caught.value
    assert (error.path, error.line, error.section, error.key) == (str(site.file), 2, "server", "port")


def test_later_errors_point_at_the_key(site):
    """What turns out wrong after loading, such as a port in use, points at the key, or at the section."""
    config = site.load("[server]\nport = 80")

    assert str(config.error("port", "is in use")) == f"{site.file}:2: [server] port: is in use"
    assert str(config.error("ip", "is not mine")) == f"{site.file}:1: [server] ip: is not mine"
    assert str(site.load("").error("ip", "is not mine")) == f"{site.file}: [server] ip: is not mine"


def test_later_errors_point_at_the_option(site):
    """What turns out wrong with a value of the command line names the option."""
    config = site.load("[server]\nport = 80", {"port": "81"})

    assert str(config.error("port", "is in use")) == "--port: is in use"
    assert str(config.error("ip", "is not mine")) == f"{site.file}:1: [server] ip: is not mine"


def test_plugins_errors_are_located(site):
    """A ConfigError of a plugin gets the file, and the line of its key."""
    config = site.load("[server]\napp_log = x\n[smtp]\nport = 25\n[plugins]\ndisable = a")
    wrong = ConfigError("is closed", section="smtp", key="port")

    assert str(config.located(wrong)) == f"{site.file}:4: [smtp] port: is closed"
    assert str(config.error("disable", "is unknown", section="plugins")).startswith(
        f"{site.file}:6: [plugins]"
    )
    assert str(config.located(ConfigError("is wrong"))) == f"{site.file}: is wrong"
    elsewhere = ConfigError("is wrong", path="other.conf", line=1)
    assert config.located(elsewhere) is elsewhere


@pytest.mark.parametrize("key", ["access_log", "app_log"])
def test_logs_must_be_writable(site, key):
    """A log in a missing folder, or one that is a folder, is refused; nothing is created."""
    missing = server_error(site, f"{key} = logs/x.log")
    assert missing.startswith(f"site.conf:2: [server] {key}: there is no folder ")
    assert f"[server] {key}: static is a folder" in server_error(site, f"{key} = static")
    site.load(f"[server]\n{key} = x.log")
    assert not (site.folder / "x.log").exists()


class TestListen:
    """Where the server listens."""

    def test_list(self, site):
        """listen has all addresses in their order; a relative path is in the file's folder."""
        server = site.load("[server]\nlisten = 80, [::1]:81, unix:run.sock").server

        assert server.endpoints == (
            PortEndpoint("", 80),
            PortEndpoint("::1", 81),
            UnixEndpoint(site.folder / "run.sock"),
        )
        assert not server.any_tls

    def test_tls(self, site):
        """TLS for one of them needs the certificate."""
        (site.folder / "a.pem").touch()
        server = site.load("[server]\nlisten = 80, 443 ssl\ncertfile = a.pem").server

        assert [endpoint.tls for endpoint in server.endpoints] == [False, True]
        assert server.any_tls
        assert server.certfile == site.folder / "a.pem"

    def test_older_keys(self, site):
        """Without listen, ip, port and unix_socket say it."""
        server = site.load("[server]\nip = ::1\nport = 81\nunix_socket = run.sock").server

        assert server.endpoints == (PortEndpoint("::1", 81), UnixEndpoint(site.folder / "run.sock"))
        assert site.load("").server.endpoints == (PortEndpoint("", 5000),)

    def test_unix_socket_alone(self, site):
        """A Unix socket brings no port with it."""
        for lines in ("", "ip =\n", "port =\n"):
            server = site.load(f"[server]\n{lines}unix_socket = run.sock").server
            assert server.endpoints == (UnixEndpoint(site.folder / "run.sock"),)
        server = site.load("[server]\nip = ::1\nunix_socket = run.sock").server
        assert server.endpoints[0] == PortEndpoint("::1", 5000)

    @pytest.mark.parametrize("line", ["ip = ::1", "port = 0", "unix_socket = run.sock", "ssl = yes"])
    def test_both_ways(self, site, line):
        """A key that says a part of it again is refused at its line."""
        key = line.partition(" ")[0]

        assert server_error(site, "listen = 80", line) == (
            f"site.conf:3: [server] {key}: cannot stand beside listen, which says it all: keep one of the two"
        )

    def test_overridden(self, site):
        """ip or port of the command line takes the place of the whole list, without TLS."""
        text = "[server]\nlisten = 80, 443 ssl, unix:run.sock"

        assert site.load(text, {"port": "8080"}).server.endpoints == (PortEndpoint("", 8080),)
        assert site.load(text, {"ip": "::1"}).server.endpoints == (PortEndpoint("::1", 5000),)

    @pytest.mark.parametrize(
        "lines", ["ip = ::1\nport = 81", "unix_socket = run.sock", "listen = 82, unix:b.sock"]
    )
    def test_listen_of_the_command_line(self, site, lines):
        """It takes the place of all that the file says, as the command line does for gunicorn."""
        config = site.load(f"[server]\n{lines}", {"listen": "127.0.0.1:8080"})

        assert config.server.endpoints == (PortEndpoint("127.0.0.1", 8080),)
        assert site.load(describe(config)).server == config.server

    def test_listen_of_the_command_line_with_tls(self, site):
        """``ssl = yes`` of the file or of the command line holds for the other address, too."""
        (site.folder / "a.pem").touch()
        text = "[server]\nport = 443\nssl = yes\ncertfile = a.pem"

        config = site.load(text, {"listen": "127.0.0.1:8443"})
        assert config.server.endpoints == (PortEndpoint("127.0.0.1", 8443, tls=True),)
        assert site.load(describe(config)).server == config.server
        options = {"listen": "127.0.0.1:8443", "ssl": "yes", "certfile": str(site.folder / "a.pem")}
        assert site.load("", options).server.endpoints == config.server.endpoints

    def test_a_certificate_without_tls(self, site):
        """Who names a certificate does not mean plain HTTP: a warning, unless ``ssl = no`` says so."""
        (site.folder / "a.pem").touch()
        (warning,) = site.load("[server]\ncertfile = a.pem").warnings
        assert warning.endswith(
            "site.conf:2: [server] certfile: has no effect, as no address has TLS: "
            "set ssl = yes, or write ssl behind one in listen"
        )
        assert site.load("[server]\ncertfile = a.pem\nssl = no").warnings == ()
        (warning,) = site.load("[certificates:line]\nexample.org = a.pem").warnings
        assert ".conf:2: [certificates:line] example.org: has no effect, as no address has TLS" in warning
        assert site.load("[server]\nssl = no\n[certificates:line]\nexample.org = a.pem").warnings == ()
        assert site.load("[server]\ncertfile = a.pem\nlisten = 80, 443 ssl").warnings == ()
        assert len(site.load("[server]\ncertfile = a.pem\nlisten = 443 ssl", {"port": "80"}).warnings) == 1

    def test_hsts_without_tls(self, site):
        """It is only sent with HTTPS, which a trusted proxy may have."""
        (warning,) = site.load("[server]\nhsts = 5 min").warnings
        assert ".conf:2: [server] hsts: has no effect, as no address has TLS" in warning
        assert site.load("[server]\nhsts = off").warnings == ()
        assert site.load("[server]\nhsts = 5 min\ntrusted_proxies = 10.0.0.1").warnings == ()

    def test_a_key_without_a_certificate(self, site):
        """It is refused, with TLS and without: --keyfile alone served plain HTTP."""
        message = (
            "site.conf:2: [server] keyfile: is the key of a certificate that is not there: set certfile, too"
        )
        assert server_error(site, "keyfile = a.pem") == message

    def test_both_ways_on_the_command_line(self, site):
        """Then nobody knows which one is meant."""
        with pytest.raises(ConfigError, match="cannot stand beside --bind, which says it all"):
            site.load("", {"listen": "80", "port": "81"})

    def test_any_free_port(self, site):
        """Port 0 may stand several times: each is another free one."""
        assert len(site.load("[server]\nlisten = 0, 0, 127.0.0.1:0").server.endpoints) == 3

    @pytest.mark.parametrize("line", ["listen = 127.0.0.1:80, unix:/run.sock", "unix_socket = run.sock"])
    def test_described(self, site, line):
        """What --check prints means the same when it is loaded again."""
        config = site.load(f"[server]\n{line}")

        assert site.load(describe(config)).server == config.server


def test_folder_of_logs(site, tmp_path):
    """Logs that are not named are in the folder of logs, if there is one."""
    server = site.load("[server]\napp_log = own.log\n", logs=tmp_path).server
    assert (server.access_log, server.app_log) == (tmp_path / "request.log", site.folder / "own.log")
    server = site.load("[server]\naccess_log = off\n", logs=tmp_path).server
    assert (server.access_log, server.app_log) == (None, tmp_path / "app.log")
    with pytest.raises(ConfigError, match=r"^--logs: there is no folder /.*/missing: create it"):
        site.load("", logs=tmp_path / "missing")


def test_log_path(site):
    """[global] log_path: the logs of a server are in a folder of its name, which need not be there yet."""
    config = site.load("[global]\nlog_path = logs\n[server]\nname = shop\napp_log = own.log\n")
    folder = site.folder / "logs" / "instances" / "shop"
    assert (config.log_folder, config.server.access_log) == (folder, folder / "request.log")
    assert config.server.app_log == site.folder / "own.log"
    assert not folder.exists()


def test_log_path_and_options(site, tmp_path):
    """A folder that is given counts more, and --verbose more than all; a script does not use it."""
    text = "[global]\nlog_path = logs\n[server]\naccess_log = named.log\n"
    assert site.load(text, logs=tmp_path).server.app_log == tmp_path / "app.log"
    verbose = site.load(text, verbose=True)
    assert (verbose.log_folder, verbose.server.access_log, verbose.server.app_log) == (None, "-", "-")
    assert site.load(text, serving=False).server.app_log == "-"
    assert site.load("[server]\naccess_log = off\n", verbose=True).server.access_log is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [("log_keep = 0", "must be a whole number of at least 1"), ("log_rotate = daily", "must be yes or no")],
)
def test_wrong_rotation(site, line, problem):
    """What cannot be is refused with its line."""
    with pytest.raises(ConfigError, match=rf"\[global\] {line.split()[0]}: {problem}"):
        site.load(f"[global]\n{line}\n")


TLS = "[server]\nssl = yes\ncertfile = server.pem\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[server]\nredirect_http = 80",
            "site.conf:2: [server] redirect_http: needs a port with ssl",
        ),
        (
            f"{TLS}redirect_http = 5000",
            "site.conf:4: [server] redirect_http: port 5000 is one that serves: choose another",
        ),
        (
            f"{TLS}redirect_http = 0",
            "site.conf:4: [server] redirect_http: must be a whole number",
        ),
        (
            f"{TLS}acme_webroot = static",
            "site.conf:4: [server] acme_webroot: is for the port of",
        ),
        (
            f"{TLS}redirect_http = 80\nacme_webroot = x",
            "site.conf:5: [server] acme_webroot: there is no folder",
        ),
        (f"{TLS}hsts = long", "site.conf:4: [server] hsts: must be a number of seconds"),
        (f"{TLS}hsts = 1; all", "site.conf:4: [server] hsts: 'all' is not includeSubDomains or preload"),
    ],
)
def test_https_keys_refused(site, text, expected):
    """A port that leads nowhere and the like are refused with their line."""
    assert site.error(text).startswith(expected)


def test_redirect_endpoint(site):
    """The port that leads to HTTPS has the address of the first port with TLS."""
    server = site.load(f"{TLS}ip = 127.0.0.1\nredirect_http = 80").server
    assert list(map(str, server.endpoints)) == ["127.0.0.1:5000 ssl", "127.0.0.1:80"]
    text = "[server]\nlisten = 81, [::1]:443 ssl, 444 ssl\ncertfile = server.pem\nredirect_http = 80"
    assert list(map(str, site.load(text).server.endpoints)) == ["81", "[::1]:443 ssl", "444 ssl", "[::1]:80"]
