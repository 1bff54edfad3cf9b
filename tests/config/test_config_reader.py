import pytest

from skitai.config import load
from skitai.errors import ConfigError


def refusal(path):
    with pytest.raises(ConfigError) as caught:
        load(path)
    return str(caught.value)


def test_comments_and_indentation(site):
    """Comments at the start of a line or after a space, indentation and blank lines mean nothing."""
    config = site.load("; note\n# note\n  [server] ; note\n\n\t port = 80 ; note\n  ip =\t;note\nthreads=2\n")

    assert (config.server.port, config.server.ip, config.server.threads) == (80, "", 2)


def test_semicolon_within_a_value(site):
    """A semicolon that follows no space belongs to the value."""
    assert site.load("[server]\npassphrase = pa;ss#w").server.passphrase == "pa;ss#w"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"pa ;ss"', "pa ;ss"),
        ('"  " ; note', "  "),
        ('"a" "b" ; note', '"a" "b"'),
        ('"a', '"a'),
        ('a"b"', 'a"b"'),
        ('"a=b:c"', "a=b:c"),
    ],
)
def test_values_in_quotes(site, written, value):
    """Quotes around a whole value are taken off; they keep a semicolon and spaces. Others belong to it."""
    assert site.load(f"[server]\npassphrase = {written}").server.passphrase == value


def test_colon_separates_too(site):
    """A colon may stand for the equals sign; whichever comes first separates."""
    config = site.load("[server]\nport: 81\npassphrase: a=b:c\n[@c]\nmembers = host:80")

    assert (config.server.port, config.server.passphrase) == (81, "a=b:c")
    assert config.clusters["c"].members[0].address == "host:80"


def test_environment_variables(site, monkeypatch):
    """A value may have variables in it; what they hold is not read again."""
    monkeypatch.setenv("SITE_SECRET", "a ;b ${HOME}")
    text = "[server]\npassphrase = x${SITE_SECRET}$y$${SITE_SECRET}$"

    assert site.load(text).server.passphrase == "xa ;b ${HOME}$y${SITE_SECRET}$"


def test_defaults_of_environment_variables(site, monkeypatch):
    """As in a shell, the default stands for a variable that is not set, and for an empty one."""
    monkeypatch.delenv("SITE_A", raising=False)
    monkeypatch.setenv("SITE_B", "")
    monkeypatch.setenv("SITE_C", "c")
    text = "[server]\npassphrase = ${SITE_A:-a b}/${SITE_B:-}/${SITE_C:-x}"

    assert site.load(text).server.passphrase == "a b//c"


def test_missing_environment_variable(site, monkeypatch):
    """The name that is missing is said, with the way to write these characters."""
    monkeypatch.delenv("SITE_SECRET", raising=False)

    assert site.error("[server]\n\npassphrase = ${SITE_SECRET}") == (
        "site.conf:3: [server] passphrase: the environment has no SITE_SECRET: "
        "set it, or write $${ for ${ itself"
    )


def test_environment_variables_in_lines(site, monkeypatch):
    """A route and a certificate may have them in what stands behind the equals sign, spaces and all."""
    monkeypatch.setenv("SITE_DIR", "./a b")
    config = site.load(
        '[routes:line]\n/ = ${SITE_DIR} headers="X-A: ${SITE_B:-b}"\n/x = ${SITE_X:-@c}\n'
        "[certificates:line]\na.example = ${SITE_DIR}.pem passphrase=${SITE_DIR}",
        serving=False,
    )
    first, second = config.hosts[0].mounts
    assert (first.target, first.options["headers"], second.target) == ("./a b", "X-A: b", "@c")
    (certificate,) = config.certificates
    assert certificate.files[0].name == "a b.pem"
    assert certificate.passphrase == "./a b"
    assert site.error("[routes:line]\n\n/x = ${SITE_NO_DIR}") == (
        "site.conf:3: [routes:line] /x: the environment has no SITE_NO_DIR: "
        "set it, or write $${ for ${ itself"
    )


@pytest.mark.parametrize("text", ["${A", "${A-x}", "${A:?x}", "${1}", "${ A}", "${}", "${A:-${B:-x}}"])
def test_other_forms_of_variables(site, text):
    """What a shell would read, and this does not, is no silent part of a password."""
    assert site.error(f"[server]\npassphrase = {text}") == (
        "site.conf:2: [server] passphrase: ${ begins a variable: "
        "write ${NAME} or ${NAME:-text}, or $${ for ${ itself"
    )


@pytest.mark.parametrize("text", ["'a ; b'", '"a ; b', "' ; b"])
def test_open_quotes_before_a_comment(site, text):
    """Only double quotes keep a semicolon in a value: half a password is none."""
    assert site.error(f"[server]\npassphrase = {text}") == (
        "site.conf:2: [server] passphrase: a quote is not closed: "
        "' ;' begins a comment, unless the value stands in double quotes"
    )


def test_semicolons_in_quotes(site):
    """A comment does not begin within double quotes, neither in a value nor in an option of a route."""
    config = site.load(
        '[server]\npassphrase = "a ; b" ; c ; "d"\n[routes:line]\n/ = "./a ; b" headers="X: a ; b" ; "c'
    )
    (mount,) = config.hosts[0].mounts
    assert config.server.passphrase == "a ; b"
    assert (mount.target, mount.options) == ("./a ; b", {"headers": "X: a ; b"})


def test_control_characters_in_the_environment(site, monkeypatch):
    """A variable cannot bring what the file may not have."""
    monkeypatch.setenv("SITE_NAME", "a\nb")

    assert site.error("[server]\nname = ${SITE_NAME}") == (
        "site.conf:2: [server] name: the variable has a control character: remove it"
    )


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_newlines(site, newline):
    """Files of every operating system number their lines alike."""
    assert site.error(newline.join(["[server]", "", "port = x"])).startswith(
        "site.conf:3: [server] port: must be"
    )


@pytest.mark.parametrize(("name", "language"), [("gunicorn.conf.py", "Python"), ("site.toml", "TOML")])
def test_another_language(tmp_path, name, language):
    """The file of another server is told from an INI file that lacks its first line."""
    (tmp_path / name).write_text("bind = '127.0.0.1:80'\n")
    with pytest.raises(ConfigError, match=f"{name}:1: is {language}, and a configuration is an INI file"):
        load(tmp_path / name)


def test_byte_order_mark(site):
    """A byte order mark at the start is no part of the first line."""
    assert site.load(b"\xef\xbb\xbf[server]\nport = 80").server.port == 80


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "\nport = 80",
            "site.conf:2: comes before any section: put a [section] line above it",
        ),
        ("[server", "site.conf:1: malformed section header: write [name]"),
        ("[]", "site.conf:1: malformed section header: write [name]"),
        ("[a]b", "site.conf:1: malformed section header: write [name]"),
        ("[[a]]", "site.conf:1: malformed section header: write [name]"),
        (
            "[server]\nport 80",
            "site.conf:2: [server]: expected 'key = value' (a value ends with its line)",
        ),
        ("[server]\n= 80", "site.conf:2: [server]: expected 'key = value' (a value ends with its line)"),
        (
            "[server]\nport = 1\n\nport = 2",
            "site.conf:4: [server] port: is at line 2 already: keep one of the two",
        ),
        ("[server]\n[x]\n[server]", "site.conf:3: [server]: is at line 1 already: join the two"),
        ("[server]\nname = a\0b", "site.conf:2: has the control character '\\x00': remove it"),
        ("[server]\n\n; a\u2028b", "site.conf:3: has the control character '\\u2028': remove it"),
        (b"[server]\nname = \xff", "site.conf:2: is not UTF-8 text: save it as UTF-8"),
        ("[routes]\n/ = static", "site.conf:1: [routes]: is a list of lines: write [routes:line]"),
    ],
)
def test_malformed_file(site, text, expected):
    """What breaks the form of the file is refused in one line with its number and the fix."""
    assert site.error(text) == expected


def test_broken_off_member_is_not_shown(site):
    """A line that is no pair may be the rest of a member list, so its password is not shown."""
    assert "hunter2" not in site.error("[@db]\nmembers = a\n 10.0.0.1:5432/db/user/hunter2")


def test_missing_file(tmp_path):
    """A file that is not there is named."""
    path = tmp_path / "no.conf"

    assert refusal(path) == f"{path}: cannot read the configuration: No such file or directory"


def test_folder_instead_of_file(tmp_path):
    """A folder in place of the file is refused as one."""
    assert refusal(str(tmp_path)) == f"{tmp_path}: is a folder: name a file in it"


def test_impossible_path():
    """A path that no file can have is refused like a missing file."""
    assert "cannot read the configuration" in refusal("a\0b")


def test_unreadable_file(site):
    """A file below something that is no folder is refused with the system's reason."""
    path = site.folder / "wsgi.py" / "site.conf"

    assert refusal(path) == f"{path}: cannot read the configuration: Not a directory"
