from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skitai.config import SERVER_KEYS, describe
from skitai.errors import ConfigError

SECTIONS = ("[server]", "[routes:line]", "[@c]", "[plugins]", "[x]")
NAMES = ("members", "type", "/", "/x", ":a", "@c", "static", "wsgi:app", "-1", "0", "5MB", "yes", "off")
WORDS = st.sampled_from([*SECTIONS, *NAMES, *SERVER_KEYS, *"=:;, ", "\n", "\n", "9" * 5000, "\u0661"])
TEXT = st.text(st.characters(codec="utf-8"), max_size=60)
FILES = st.lists(st.one_of(WORDS, WORDS, TEXT), max_size=30).map("".join)

# One folder serves all examples of a test: each writes the file anew.
fuzz = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refusal(site, text, overrides=None):
    """Return the line that refuses the configuration, or None; any other exception goes up."""
    try:
        config = site.load(text, overrides)
        describe(config)
        config.claim({})
    except ConfigError as error:
        return str(error)
    return None


@fuzz
@given(FILES)
def test_any_text(site, text):
    """Any text either loads or is refused in one line that names the file."""
    line = refusal(site, text)

    assert line is None or (line.startswith(f"{site.file}:") and len(line.splitlines()) == 1)


@fuzz
@given(st.binary(max_size=80))
def test_any_bytes(site, data):
    """Any bytes either load or are refused in one line that names the file."""
    line = refusal(site, data)

    assert line is None or (line.startswith(f"{site.file}:") and len(line.splitlines()) == 1)


@fuzz
@given(
    st.lists(st.sampled_from(["a", "b", "=", " ", "\t", '"', "a=", " c=", "; ", "@", "\u3000"]), max_size=12)
)
@example(pieces=['"', "; ", "a", '"'])
@example(pieces=['"', "a", " ", "; ", '"'])
@example(pieces=["a", '"', "a", " ", "; ", '"'])
@example(pieces=["a", '"', " ", "; ", '"'])
def test_any_route(site, pieces):
    """What a route is described as means the same when it is loaded again."""
    try:
        config = site.routes(f"/ = {''.join(pieces)}")
    except ConfigError:
        return
    assert site.load(describe(config)).hosts == config.hosts


@fuzz
@given(st.sampled_from([*SERVER_KEYS]), st.one_of(TEXT, WORDS))
def test_any_option(site, key, value):
    """Any value on the command line is either taken or refused in one line that names the option."""
    line = refusal(site, "", {key: value})

    assert line is None or (line.startswith("--") and len(line.splitlines()) == 1)
