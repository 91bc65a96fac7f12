"""The teacher: large language models in three roles, behind a journal of every call."""
