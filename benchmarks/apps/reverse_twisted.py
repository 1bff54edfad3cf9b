"""A stock reverse proxy of Twisted: `python reverse_twisted.py PORT`; the environment says whom it asks."""

import os
import sys

from twisted.internet import reactor
from twisted.web.proxy import ReverseProxyResource
from twisted.web.server import Site

proxy = ReverseProxyResource("127.0.0.1", int(os.environ["UPSTREAM"]), b"")
reactor.listenTCP(int(sys.argv[1]), Site(proxy), interface="127.0.0.1")
reactor.run()
