"""The configuration that comes with Skitai."""

from __future__ import annotations

from pathlib import Path

import skitai


def sample_config() -> Path:
    """Return the configuration of the sample app: the installed one, or that of a checkout."""
    package = Path(skitai.__file__).parent
    installed = package / "data" / "sample.conf"
    return installed if installed.exists() else package.parent / "etc" / "sample.conf"
