"""A PostgreSQL server of a test's own: in a temporary folder, on loopback, as an unprivileged user."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.interop import peers

__all__ = ["database"]

_USERS = ("postgres", "nobody")  # initdb refuses root


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    return Path(shutil.which("initdb") or peers.missing("postgresql")).parent


def _user() -> str | None:
    """Return whose processes they are; who is not root is good enough."""
    if os.geteuid():
        return None
    known = {one.pw_name for one in pwd.getpwall()}
    return next(name for name in _USERS if name in known)


@contextmanager
def database() -> Iterator[str]:
    """Give the URL of an empty database."""
    binaries, user = _binaries(), _user()
    directory = Path(tempfile.mkdtemp(prefix="postgresql-"))
    try:
        if user is not None:
            shutil.chown(directory, user)
        data, port = directory / "data", peers.free_port()
        command: list[str | Path] = [
            binaries / "initdb",
            "--pgdata",
            data,
            "--username",
            "archive",
            "--auth",
            "trust",
            "--no-sync",
        ]
        subprocess.run(
            [*command, "--encoding", "UTF8", "--locale", "C"],
            check=True,
            user=user,
            cwd=directory,
            stdout=subprocess.DEVNULL,
        )
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": directory}
        options = [f"-c{name}={value}" for name, value in settings.items()]
        with (directory / "log").open("wb") as log:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", data, *options], user=user, cwd=directory, stdout=log, stderr=log
            )
        try:
            ready: list[str | Path] = [binaries / "pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(port)]
            while subprocess.run(ready, check=False).returncode:
                if server.poll() is not None:
                    raise AssertionError((directory / "log").read_text())
                time.sleep(0.05)
            yield f"postgresql+psycopg://archive@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # fast: who is connected is disconnected
            server.wait(30)
    finally:
        shutil.rmtree(directory)
