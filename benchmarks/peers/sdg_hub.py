"""sdg_hub: a flow of an LLMChatBlock and the extractor of its texts, with a JSON parser where objects are asked for.

Without checkpoints all rows go through a block together; with them, SAVE rows at a time. A request that fails for good
ends the flow: what there is then are the rows of its checkpoints.
"""

from benchmarks.peers.rows import KEY, MODEL, RETRIES, Job, answer, job

SAVE = 64  # rows between checkpoints


def texts(work: Job) -> dict[str, str | None]:
    """Run the flow."""
    import pandas as pd
    from sdg_hub import Flow, FlowMetadata
    from sdg_hub.core.blocks.llm import LLMChatBlock, LLMResponseExtractorBlock
    from sdg_hub.core.utils.error_handling import FlowValidationError

    chat = LLMChatBlock(block_name="chat", input_cols="messages", output_cols="reply", async_mode=True)
    read = LLMResponseExtractorBlock(block_name="read", input_cols="reply", field_prefix="read_")
    flow = Flow(blocks=[chat, read], metadata=FlowMetadata(name="bench"))
    shape = {"response_format": {"type": "json_object"}} if work.parse else {}
    flow.set_model_config(
        model=f"openai/{MODEL}", api_base=work.base_url, api_key=KEY, temperature=0, num_retries=RETRIES, **shape
    )
    rows = pd.DataFrame(
        [{"id": id_, "messages": [{"role": "user", "content": prompt}]} for id_, prompt in work.rows.items()]
    )
    kept = {"checkpoint_dir": str(work.folder), "save_freq": SAVE} if work.resume else {}
    try:
        found = flow.generate(rows, max_concurrency=work.concurrency, **kept)
    except FlowValidationError as error:
        print(error)
        saved = [pd.read_json(file, lines=True) for file in work.folder.glob("checkpoint_*.jsonl")]
        found = pd.concat([pd.DataFrame({"id": [], "read_content": []}), *saved])
    given = dict(zip(found["id"], found["read_content"], strict=True))
    return {id_: answer(text) for id_, text in given.items()} if work.parse else given


if __name__ == "__main__":
    work = job(LOG_LEVEL="WARNING")
    work.write(texts(work))
