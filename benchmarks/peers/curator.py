"""curator: an LLM over a dataset of prompts, paced by the server's x-ratelimit headers.

It writes each reply to a file as it comes and a run with the same folder asks for what is missing there. Rows that fail
for good are left out.
"""

from benchmarks.peers.rows import KEY, MODEL, Job, job


def texts(work: Job) -> dict[str, str | None]:
    """Ask for all rows."""
    import litellm.litellm_core_utils.default_encoding  # noqa: F401  (tiktoken's files, which it carries)
    from bespokelabs import curator
    from datasets import Dataset
    from pydantic import BaseModel

    class Answer(BaseModel):
        answer: str

    class Asked(curator.LLM):
        def prompt(self, row: dict) -> str:
            return row["prompt"]

        def parse(self, row: dict, reply: Answer | str) -> dict:
            return {"id": row["id"], "text": reply if isinstance(reply, str) else reply.model_dump_json()}

    asked = Asked(
        model_name=MODEL,
        backend="openai",
        response_format=Answer if work.parse else None,
        generation_params={"temperature": 0},
        backend_params={
            "base_url": work.base_url,
            "api_key": KEY,
            "max_concurrent_requests": work.concurrency,
            "require_all_responses": False,
        },
    )
    rows = Dataset.from_list([{"id": id_, "prompt": prompt} for id_, prompt in work.rows.items()])
    found = asked(rows, working_dir=str(work.folder)).dataset
    return dict(zip(found["id"], found["text"], strict=True))


if __name__ == "__main__":
    work = job(CURATOR_CACHE_DIR="{folder}", CURATOR_DISABLE_RICH_DISPLAY="1", HOME="{folder}")
    work.write(texts(work))
