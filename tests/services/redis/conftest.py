"""Fixtures of the Redis plugin."""

import pytest
from redis_world import Client, settings_for

from databases import Redis


@pytest.fixture
def own_redis(tmp_path):
    """Return ``own_redis(*options)``: a Redis that the test may kill, with options of its command line."""
    servers = []

    def start(*options):
        servers.append(Redis(tmp_path, *options))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def client_of(reactor_thread):
    """Return ``client_of(server, **settings)``: a Client."""
    clients = []

    def make(server, **settings):
        clients.append(Client(reactor_thread, settings_for(server, **settings)))
        return clients[-1]

    yield make
    for client in reversed(clients):
        client.close()


@pytest.fixture
def client(client_of, redis_server):
    """A client of the shared Redis."""
    return client_of(redis_server, prefix="tests:")
