"""The cache of the reverse proxy (RFC 9111): ``/api = @api cache=yes``.

A ``MountCache`` is asked before a member is, and has a ``Visit`` go with each request to the members. Replies
are kept as an ``Entry`` in a ``Store``: in memory, and on disk if the config names a folder. hishel decides
what may be stored and what a 304 changes; how long a reply is fresh is computed here, once.
"""
