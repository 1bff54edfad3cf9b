"""Mounts static files: ``/ = ./static max_age=1h``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import attrs

from skitai.config import Key, Mount
from skitai.interfaces import IInstance
from skitai.plugins import Answerer, hookimpl
from skitai.server.static.directory import StaticDirectory
from skitai.server.static.options import (
    FolderOptions,
    MaxAges,
    cors_origins,
    fallback_path,
    header_fields,
    max_ages,
    show_header_fields,
    show_max_ages,
)

#: The options of a folder.
OPTIONS: Mapping[str, Key] = {
    "max_age": Key(
        max_ages,
        None,
        "how long clients may cache the files, by patterns of their paths or names; the first that matches"
        " counts, and a time without a pattern is for all others",
        show_max_ages,
        unset="static_max_age of [server]",
    ),
    "headers": Key(header_fields, None, "header fields of all answers", show_header_fields),
    "cors": Key(cors_origins, None, "origins whose pages may read the files; preflights are answered"),
    "fallback": Key(
        fallback_path,
        None,
        "the file that pages get which are no file, for apps that run in the browser",
    ),
}


def names_folder(mount: Mount) -> bool:
    """Whether the target is an existing folder, and not ``path/module:callable``.

    A package is an app: who means its files, which are its source, writes a slash behind it.
    """
    last = mount.target.rpartition("/")[2]
    folder = mount.folder / mount.target
    is_package = last.isidentifier() and os.path.isfile(folder / "__init__.py")
    return ":" not in last and os.path.isdir(folder) and not is_package


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
    usual = instance.config.server.static_max_age
    max_age = attrs.evolve(OPTIONS["max_age"], default=MaxAges(int(usual)), unset="")

    def make(options: Mapping[str, Any]) -> StaticDirectory:
        given = FolderOptions(
            options["max_age"].or_else(usual),
            options["headers"] or (),
            options["cors"] or (),
            options["fallback"],
        )
        directory = StaticDirectory(root, options=given)
        if directory.has_fallback and directory.fallback_file() is None:
            raise ValueError(
                f"fallback: there is no file {root}{given.fallback}: correct the path or create it"
            )
        return directory

    return Answerer("static files", make, {**OPTIONS, "max_age": max_age}, str(root))
