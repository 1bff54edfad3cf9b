"""The routes of an app and its parts, arranged once for many requests."""

from __future__ import annotations

from skitai.saddle.part import Endpoint, MountedPart
from skitai.saddle.routes.router import Router
from skitai.saddle.routes.urls import URLBuilder


class Tables:
    """The routes by path, by name and by remote method. Made anew when routes were added."""

    def __init__(self, mounted: list[MountedPart]) -> None:
        self._parts = list(dict.fromkeys(place.part for place in mounted))
        self._changes = self._count()
        self.router = Router()
        self.urls = URLBuilder(mounted)
        self.remote: dict[str, Endpoint] = {}
        patterns: dict[str, Endpoint] = {}
        for place in mounted:
            for route in place.part.routes:
                rule = place.prefix + route.rule.text
                endpoint = Endpoint(route, place.scopes, rule)
                self.router.add(route.rule, endpoint, place.prefix)
                if route.websocket is not None:
                    continue
                literal, pattern, _ = rule.partition("<")
                method = literal.strip("/").replace("/", ".")
                if method:
                    (patterns if pattern else self.remote).setdefault(method, endpoint)
        self.remote = {**patterns, **self.remote}  # as for paths, the exact ones come first

    def is_outdated(self) -> bool:
        """Whether a route or a part was added since."""
        return self._changes != self._count()

    def _count(self) -> int:
        return sum(part.changes for part in self._parts)
