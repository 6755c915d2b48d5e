"""Opens the database of an index, and brings its tables up to date.

Internal. Without a URL it is SQLite, one file in the archive's directory; with one it may be PostgreSQL, which several
machines can share.
"""

import logging
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from dicom_proto.errors import InvalidSettingError

__all__ = ["HEAD", "WRITES", "open_database"]

_log = logging.getLogger("dicom_transports.archive")

HEAD: Final = "0002"
"""The newest migration that this version knows."""

WRITES: Final = {"writes": True}
"""Execution options of a connection whose transactions write: they wait for each other from the beginning."""

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x44494349  # "DICI": who migrates has it
_PATIENCE: Final = 60_000  # milliseconds that a statement waits for another writer


def open_database(url: str, *, durable: bool = True) -> Engine:
    """Open a database and migrate it.

    Parameters
    ----------
    url : str
        As SQLAlchemy has it: ``sqlite:////_archive/index.sqlite``, ``postgresql+psycopg://host/database``.
    durable : bool
        Whether what has been committed outlives a loss of power.

    Raises
    ------
    InvalidSettingError
        If the URL is none, or is for a database whose driver is not installed.
    sqlalchemy.exc.SQLAlchemyError
        If the database cannot be reached.
    """
    try:
        engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"), hide_parameters=True)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise InvalidSettingError(
            "the URL of the database is none, or its driver is not installed:"
            " sqlite:////path/to/index.sqlite and postgresql+psycopg://user@host/database are URLs"
        ) from error
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine, durable=durable)
    elif not durable:
        event.listen(engine, "connect", _be_quick)
    with engine.connect().execution_options(**WRITES) as connection:
        _migrate(connection)
    return engine


def _prepare_sqlite(engine: Engine, *, durable: bool) -> None:
    """Let readers read while somebody writes, and transactions begin when SQLAlchemy says so."""

    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_PATIENCE}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA case_sensitive_like = ON")
        cursor.close()

    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)


def _be_quick(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")


def _migrate(connection: Connection) -> None:
    """Bring the tables up to date; who comes second finds that done."""
    with connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        found = _version(connection)
        if found == HEAD:
            return
        if found is not None and found > HEAD:
            _log.info("the index is of a newer version (%s): what was added is left alone", found)
            return
        from alembic import command  # noqa: PLC0415 - takes as long to load as everything else together
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found
