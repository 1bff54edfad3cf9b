"""What caches must know of a response: whether it depends on cookies, and whether it is one visitor's own."""

from __future__ import annotations

from skitai.http.fields import split_list

Headers = list[tuple[str, str]]

#: What lets a cache that many share keep a response (RFC 9111, sections 5.2.2.9 and 5.2.2.10).
_SHARED = frozenset(("public", "s-maxage"))


def varying_by(name: str, headers: Headers) -> Headers:
    """Return ``headers`` with ``name`` in Vary (RFC 9110, section 12.5.5), in one field."""
    members = [member for key, value in headers if key.lower() == "vary" for member in split_list(value)]
    if {"*", name.lower()}.intersection(member.lower() for member in members):
        return headers
    others = [field for field in headers if field[0].lower() != "vary"]
    return [*others, ("Vary", ", ".join([*members, name]))]


def private(headers: Headers) -> tuple[Headers, str]:
    """Return ``headers`` such that no shared cache keeps the response, and the Cache-Control that let it.

    This is for a response with Set-Cookie: that field does not keep a cache from storing it (RFC 9111,
    section 7.3), and the next visitor would get the cookie of another. The second is empty if the app has not
    said itself that anybody may keep it. A response that nothing allows to be kept stays as it is.
    """
    written = ", ".join(value for name, value in headers if name.lower() == "cache-control")
    members = [(member.partition("=")[0].strip().lower(), member) for member in split_list(written)]
    names = {name for name, _ in members}
    if "no-store" in names or "private" in map(str.lower, split_list(written)):  # not private="a-field"
        return headers, ""
    is_shared = not _SHARED.isdisjoint(names)
    lasts = any(name == "max-age" and not member.endswith("=0") for name, member in members)
    expires = "max-age" not in names and any(name.lower() == "expires" for name, _ in headers)
    if not (is_shared or lasts or expires):
        return headers, ""
    kept = [member for name, member in members if name not in {*_SHARED, "private"}]
    others = [field for field in headers if field[0].lower() != "cache-control"]
    return [*others, ("Cache-Control", ", ".join([*kept, "private"]))], written if is_shared else ""
