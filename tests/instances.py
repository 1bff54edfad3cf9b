"""Whole instances in this process: config, plugins and sockets, without the command line."""

from __future__ import annotations

import threading

from skitai.config import load
from skitai.plugins import hookimpl
from skitai.plugins.manager import create_plugin_manager
from skitai.server.apps import plugin as wsgi_plugin
from skitai.server.static import plugin as static_plugin
from skitai.services import proxy as proxy_plugin
from skitai.worker.serving import Server
from wire import Client, ask

#: The built-in plugins that serve what routes lead to.
ROUTE_PLUGINS = {"wsgi": wsgi_plugin, "static": static_plugin, "proxy": proxy_plugin}


class PluginEntry:
    """What importlib.metadata finds for an installed plugin; loading it gives ``plugin`` or raises it."""

    value = "tested.plugin"
    dist = None

    def __init__(self, name, plugin):
        self.name = name
        self.plugin = plugin

    def load(self):
        if isinstance(self.plugin, BaseException):
            raise self.plugin
        return self.plugin


class Hooks:
    """A plugin of the given hooks: ``Hooks(skitai_startup=lambda instance: ...)``."""

    def __init__(self, **hooks):
        for name, function in hooks.items():
            setattr(self, name, hookimpl(function))


def make_instance(reactor, file, overrides=None, disabled=(), **plugins):
    """Return the instance of a config file with ``plugins`` by name, and of the others those for routes."""
    plugins = {**ROUTE_PLUGINS, **plugins}
    entries = [PluginEntry(name, plugin) for name, plugin in plugins.items()]
    manager = create_plugin_manager(disabled, entry_points=entries, environ={})
    return Server(load(file, overrides or {}), manager, reactor)


def app_threads():
    """Return the threads that run apps."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("skitai-app")]


class RunningInstance:
    """An instance that serves, in the reactor of ``loop``, on a free port."""

    def __init__(self, loop, instance):
        self.loop = loop
        self.instance = instance
        loop.call(instance.startService)

    @property
    def port(self):
        return int(self.instance.urls[0].rstrip("/").rpartition(":")[2])

    def client(self, **options):
        return Client(self.port, **options)

    def ask(self, *args, **options):
        return ask(self.port, *args, **options)

    def stop(self):
        self.loop.call(self.instance.stopService)
