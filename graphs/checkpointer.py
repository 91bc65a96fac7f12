"""Studio: checkpoints in SQLite instead of the development server's pickles."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from pada_graph.studio_saver import SecretlessSaver


@asynccontextmanager
async def create() -> AsyncIterator[AsyncSqliteSaver]:
    """Open the saver that `langgraph dev` uses."""
    Path("runs").mkdir(exist_ok=True)
    async with SecretlessSaver.from_conn_string("runs/studio.sqlite") as saver:
        yield saver
