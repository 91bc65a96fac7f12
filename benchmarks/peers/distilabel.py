"""distilabel: a pipeline of one TextGeneration task.

All requests of a batch are sent at once and the next batch waits for the slowest of them: batches as large as the
concurrency. Its cache holds whole batches; an error in one row makes all rows of its batch None.
"""

from benchmarks.peers.rows import KEY, MODEL, RETRIES, Job, answer, job
from pydantic import BaseModel


class Answer(BaseModel):
    """What a reply has to be; the pipeline's processes look for it in this module."""

    answer: str


def texts(work: Job) -> dict[str, str | None]:
    """Run the pipeline."""
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    llm = OpenAILLM(
        model=MODEL,
        base_url=work.base_url,
        api_key=KEY,
        max_retries=RETRIES,
        generation_kwargs={"temperature": 0.0},
        structured_output={"schema": Answer, "max_retries": 3} if work.parse else None,
    )
    size = work.concurrency
    rows = [{"id": id_, "instruction": prompt} for id_, prompt in work.rows.items()]
    with Pipeline(name="bench", cache_dir=work.folder) as pipeline:
        load = LoadDataFromDicts(name="load", data=rows, batch_size=size)
        load >> TextGeneration(name="ask", llm=llm, input_batch_size=size)
    found = pipeline.run(use_cache=work.resume)["default"]["train"]
    given = dict(zip(found["id"], found["generation"], strict=True))
    return {id_: answer(text) for id_, text in given.items()} if work.parse else given


if __name__ == "__main__":
    work = job(DISTILABEL_LOG_LEVEL="WARNING")
    work.write(texts(work))
