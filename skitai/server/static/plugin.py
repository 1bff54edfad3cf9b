"""Mounts static files: ``/ = ./static max_age=1h``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import attrs

from skitai.config import Key, Mount, seconds
from skitai.interfaces import IInstance
from skitai.plugins import Answerer, hookimpl
from skitai.server.static.directory import StaticDirectory

#: The options of a folder.
OPTIONS: Mapping[str, Key] = {
    "max_age": Key(
        seconds,
        None,
        "how long clients may cache the files",
        example="1h",
        unset="static_max_age of [server]",
    ),
}


def names_folder(mount: Mount) -> bool:
    """Whether the target is an existing folder, and not ``path/module:callable``."""
    return ":" not in mount.target.rpartition("/")[2] and os.path.isdir(mount.folder / mount.target)


@hookimpl
def skitai_keys() -> Mapping[str, Mapping[str, Key]]:
    """Describe the options of folders."""
    return {"[routes:line] a folder": OPTIONS}


@hookimpl
def skitai_mount(instance: IInstance, mount: Mount) -> Answerer | None:
    """Serve the files of a folder."""
    if not names_folder(mount):
        return None
    root = mount.folder / mount.target
    max_age = attrs.evolve(OPTIONS["max_age"], default=instance.config.server.static_max_age, unset="")

    def make(options: Mapping[str, Any]) -> StaticDirectory:
        return StaticDirectory(root, int(options["max_age"]))

    return Answerer("static files", make, {"max_age": max_age}, str(root))
