"""The configuration: an INI file read into frozen, typed values, every error naming its file and line."""

from skitai.config.casters import (
    comma_list,
    integer,
    number,
    one_of,
    optional,
    path,
    positive,
    seconds,
    show_secret,
    show_size,
    size,
    text,
    yes_no,
)
from skitai.config.clusters import ClusterConfig, MemberConfig
from skitai.config.describe import describe, describe_section
from skitai.config.forms import form
from skitai.config.given import Given
from skitai.config.keys import Key
from skitai.config.loader import SHARED_SECTIONS, Config, load
from skitai.config.mounts import Mount
from skitai.config.reader import Section
from skitai.config.routes import DEFAULT_HOST, VirtualHost
from skitai.config.sample import sample_config
from skitai.config.server import SERVER_KEYS, ServerConfig

__all__ = [
    "DEFAULT_HOST",
    "SERVER_KEYS",
    "SHARED_SECTIONS",
    "ClusterConfig",
    "Config",
    "Given",
    "Key",
    "MemberConfig",
    "Mount",
    "Section",
    "ServerConfig",
    "VirtualHost",
    "comma_list",
    "describe",
    "describe_section",
    "form",
    "integer",
    "load",
    "number",
    "one_of",
    "optional",
    "path",
    "positive",
    "sample_config",
    "seconds",
    "show_secret",
    "show_size",
    "size",
    "text",
    "yes_no",
]
