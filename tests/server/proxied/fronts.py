"""nginx, HAProxy and Squid with the sample configs of etc/, on free ports of this machine."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from serving import REPOSITORY, eventually

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {sample}
}}
"""
STREAM = """
{load}
daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{}}
{sample}
"""
HAPROXY = """
global
    nbthread 1
{sample}
"""
SQUID = """
pid_filename none
cache_log /dev/null
access_log none
netdb_filename none
visible_hostname front
shutdown_lifetime 0 seconds
{sample}
"""
#: Where Debian puts what nginx loads for connections that are not HTTP.
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


class Front:
    """A program that runs with a sample; ``ports`` are where it listens, by the port that stands there.

    ``behind`` are the ports of Skitai, by those of the sample, and ``edited(text)`` is what is made of that.
    """

    def __init__(self, folder, program, *options, sample, behind, around, edited=str, **names):
        found = shutil.which(program, path="/usr/sbin:/usr/local/sbin") or shutil.which(program)
        if found is None:
            pytest.skip(f"{program} is not installed")
        self.ports = {}
        text = edited((REPOSITORY / "etc" / sample).read_text("utf-8"))
        text = re.sub(r"^( *(?:listen |bind :|http_port ))(\d+)", self._listening, text, flags=re.MULTILINE)
        text = re.sub(
            r"(127\.0\.0\.1(?::| parent ))(5\d+)",
            lambda found: found[1] + str(behind.get(found[2], 9)),  # 9: nobody is there
            text,
        )
        config = folder / sample
        config.write_text(around.format(folder=folder, sample=text, **names), "utf-8")
        self._output = folder / f"{sample}.output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [found, *map(str, options), config], stdout=output, stderr=subprocess.STDOUT, cwd=folder
            )
        eventually(self._serves, program)

    def _listening(self, found):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = self.ports.setdefault(found[2], listener.getsockname()[1])
        return f"{found[1].rstrip(':')}127.0.0.1:{port}"

    def _serves(self):
        assert self.process.poll() is None, self._output.read_text()
        try:
            for port in self.ports.values():
                socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def stop(self):
        self.process.kill()
        self.process.wait()


def nginx(folder, behind):
    """Return nginx in front of two sites."""
    options = ("-p", folder, "-e", "stderr", "-c")
    return Front(folder, "nginx", *options, sample="nginx.conf", behind=behind, around=NGINX)


def nginx_stream(folder, behind):
    """Return nginx in front of connections."""
    if not STREAM_MODULE.exists():
        pytest.skip("the module stream of nginx is not installed")
    options = ("-p", folder, "-e", "stderr", "-c")
    load = f"load_module {STREAM_MODULE};"
    return Front(
        folder, "nginx", *options, sample="nginx-stream.conf", behind=behind, around=STREAM, load=load
    )


def haproxy(folder, behind):
    """Return HAProxy in front of two sites, and of connections."""
    return Front(folder, "haproxy", "-db", "-f", sample="haproxy.cfg", behind=behind, around=HAPROXY)


def squid(folder, behind):
    """Return Squid in front of two sites."""
    return Front(folder, "squid", "-N", "-f", sample="squid.conf", behind=behind, around=SQUID)


def squid_behind_balancer(folder, behind):
    """Return Squid whose clients begin with a PROXY header, as a comment in the sample says."""

    def edited(text):
        text = re.sub(r"^http_port .*\n", "", text, flags=re.MULTILINE)
        return text.replace("#   ", "").replace("10.0.0.1", "127.0.0.1")

    return Front(folder, "squid", "-N", "-f", sample="squid.conf", behind=behind, around=SQUID, edited=edited)
