"""NeMo Data Designer: a text column over a seed dataset, or a structured one where objects are asked for.

What it keeps is complete row groups: all rows are one where nothing is to be kept, GROUP of them where a run is to be
resumed, with enough groups at a time. Groups of one row repeat no answered call, but take five times as long. Rows that
fail for good are left out.
"""

from benchmarks.peers.rows import KEY, MODEL, Job, job

GROUP = 8  # rows that are kept together


def texts(work: Job) -> dict[str, str | None]:
    """Create the dataset."""
    import json

    import data_designer.config as dd
    import pandas as pd
    from data_designer.interface import DataDesigner
    from pydantic import BaseModel

    class Answer(BaseModel):
        answer: str

    seed = work.folder / "seed.parquet"
    if not seed.exists():
        pd.DataFrame([{"id": id_, "prompt": prompt} for id_, prompt in work.rows.items()]).to_parquet(seed)
    how = dd.ChatCompletionInferenceParams(temperature=0, max_parallel_requests=work.concurrency)
    model = dd.ModelConfig(
        alias="bench", model=MODEL, provider="loopback", inference_parameters=how, skip_health_check=True
    )
    config = dd.DataDesignerConfigBuilder(model_configs=[model])
    config.with_seed_dataset(dd.LocalFileSeedSource(path=str(seed)))
    column = {"name": "reply", "model_alias": "bench", "prompt": "{{ prompt }}"}
    if work.parse:
        config.add_column(dd.LLMStructuredColumnConfig(**column, output_format=Answer))
    else:
        config.add_column(dd.LLMTextColumnConfig(**column))
    provider = dd.ModelProvider(name="loopback", endpoint=work.base_url, provider_type="openai", api_key=KEY)
    designer = DataDesigner(artifact_path=work.folder / "artifacts", model_providers=[provider])
    designer.set_run_config(
        dd.RunConfig(
            buffer_size=GROUP if work.resume else len(work.rows),
            max_concurrent_row_groups=2 * work.concurrency // GROUP,
            disable_early_shutdown=True,
            otel_metrics_port=None,
            jinja_rendering_engine="native",
        )
    )
    resume = dd.ResumeMode.IF_POSSIBLE if work.resume else dd.ResumeMode.NEVER
    found = designer.create(config, num_records=len(work.rows), dataset_name="bench", resume=resume).load_dataset()
    replies = found["reply"] if not work.parse else map(json.dumps, found["reply"])
    return dict(zip(found["id"], replies, strict=True))


if __name__ == "__main__":
    # Its statistics look for a tokenizer's file on the internet and do without it: nobody listens at that proxy.
    work = job(DATA_DESIGNER_HOME="{folder}/home", HTTPS_PROXY="http://127.0.0.1:9")
    work.write(texts(work))
