"""The journal's SQLite file: its table, what it must be before it is used, and words for one that is not."""

import sqlite3
from pathlib import Path

from pada_graph import databases
from pada_graph.services import Reply

SCHEMA_VERSION = 1
APPLICATION_ID = 0x50614441  # "PaDA", in the file's header

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
  key TEXT PRIMARY KEY, role TEXT NOT NULL, model TEXT NOT NULL, item TEXT NOT NULL, attempt INTEGER NOT NULL,
  prompt TEXT NOT NULL, status TEXT NOT NULL CHECK (status IN ('started', 'finished', 'refused')),
  starts INTEGER NOT NULL, started_at REAL NOT NULL, finished_at REAL,
  text TEXT, stop_reason TEXT, input_tokens INTEGER, output_tokens INTEGER, error TEXT
) WITHOUT ROWID
"""

# What is recorded for a prompt that the provider turned away for its content (an HTTP error, no reply).
NOT_BILLED = Reply("", "content_filter", 0, 0)
COST_KNOWN = f"(input_tokens > 0 OR (text = '' AND stop_reason = '{NOT_BILLED.stop_reason}'))"


def inspect(path: Path, recorded: int) -> int:
    """Finished calls of the file, which is only looked at: whole, of this version, not fewer than are on record.

    Raises:
        sqlite3.Error: says what is wrong with it.
        PermissionError: it cannot be written.
    """
    found = 0
    if path.exists():
        with databases.read_only(path) as connection:
            databases.check(path, connection)
            if not databases.is_empty(connection):
                _check_version(connection)
                found = connection.execute("SELECT COUNT(*) FROM calls WHERE status = 'finished'").fetchone()[0]
    if found < recorded:
        raise sqlite3.DatabaseError(
            f"it is behind, {recorded} finished calls are on record and it holds {found} "
            "(its -wal file is missing, or it is missing itself, or it is an older copy)"
        )
    return found


def unusable(path: Path, error: Exception) -> str:
    """Say what is wrong with a journal, and the way out."""
    if isinstance(error, OSError):
        return (
            f"{path}: the journal of teacher calls cannot be used: {error}. Mend that, then run the same command again."
        )
    return (
        f"{path}: the journal of teacher calls cannot be used: {error}. It was left as it is. Restore it, with the "
        "-wal file beside it, from a copy. Or give up what it lost: move it away if it is damaged, and add "
        "--rebuild-state (Python: rebuild_state=True); then the lost calls are asked, and paid, again."
    )


def prepare(connection: sqlite3.Connection) -> None:
    """Set the connection up, and make the table where there is none yet."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if databases.is_empty(connection):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute(_SCHEMA)
        connection.execute("COMMIT")


def _check_version(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise sqlite3.DatabaseError("it is another program's database")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        raise sqlite3.DatabaseError(
            f"its schema version is {version}, this version of pada-graph writes {SCHEMA_VERSION}"
        )
