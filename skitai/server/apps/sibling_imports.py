"""Rewrites plain imports of an app's own modules, so that they name their package.

``import helper`` becomes ``import PACKAGE.helper as helper``. Line numbers and the names that are bound stay
the same.
"""

from __future__ import annotations

import ast
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Set


def possible_imports(code: CodeType) -> Iterator[str]:
    """Yield the top-level names of all modules that ``code`` imports, among other names that it uses."""
    for name in code.co_names:
        yield name.partition(".")[0]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from possible_imports(constant)


def rewrite(tree: ast.Module, private: Set[str], package: str) -> None:
    """Make the absolute imports in ``tree`` whose top-level name is in ``private`` name ``package``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            node.names = [new for alias in node.names for new in _in_package(alias, private, package)]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None  # only a relative import may lack it
            if node.module.partition(".")[0] in private:
                node.module = f"{package}.{node.module}"


def _in_package(alias: ast.alias, private: Set[str], package: str) -> list[ast.alias]:
    top, _, rest = alias.name.partition(".")
    if top not in private:
        return [alias]
    module = _alias(alias, f"{package}.{alias.name}", alias.asname or top)
    if alias.asname or not rest:
        return [module]
    # ``import a.b`` imports a.b but binds a.
    return [module, _alias(alias, f"{package}.{top}", top)]


def _alias(original: ast.alias, name: str, bound: str) -> ast.alias:
    return ast.copy_location(ast.alias(name, bound), original)
