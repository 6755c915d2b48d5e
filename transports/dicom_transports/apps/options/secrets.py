"""What must not stand in a command line, where every user of the machine can read it."""

import os

from dicom_transports.apps.exits import CommandError

__all__ = ["read_file", "secret"]


def secret(file: str | None, variable: str) -> str | None:
    """Return a password or passphrase: the first line of a file, or an environment variable; ``None`` without both.

    Parameters
    ----------
    file : str or None
        The file, if one was named.
    variable : str
        The name of the environment variable.

    Raises
    ------
    CommandError
        If the file cannot be read.
    """
    if file is not None:
        return read_file(file).decode(errors="surrogateescape").partition("\n")[0].rstrip("\r")
    return os.environ.get(variable)


def read_file(file: str) -> bytes:
    """Return what is in a file.

    Raises
    ------
    CommandError
        If it cannot be read.
    """
    from pathlib import Path  # noqa: PLC0415 - only what is used is loaded

    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror or error}") from error
