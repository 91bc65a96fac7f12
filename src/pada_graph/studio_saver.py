"""Studio's checkpoints, without the keys that a configuration in its form may hold."""

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from pada_graph.teacher.secrets import without_secrets


class SecretlessSaver(AsyncSqliteSaver):
    """`langgraph dev` puts a run's whole context into the metadata of each checkpoint, and into its config."""

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint, as `put` does too, without what `without_secrets` takes out."""
        return await super().aput(without_secrets(config), checkpoint, without_secrets(metadata), new_versions)
