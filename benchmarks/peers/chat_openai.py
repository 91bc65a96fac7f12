"""The plain way of LangChain's user: ChatOpenAI in a pool of threads, the SDK's own retries. Nothing is kept."""

from concurrent.futures import ThreadPoolExecutor

from benchmarks.peers.rows import KEY, MODEL, RETRIES, answer, job

if __name__ == "__main__":
    work = job()

    from langchain_openai import ChatOpenAI
    from openai import APIError

    chat = ChatOpenAI(model=MODEL, base_url=work.base_url, api_key=KEY, temperature=0, max_retries=RETRIES)

    def ask(prompt: str) -> str | None:
        try:
            text = chat.invoke(prompt).text
        except APIError:
            return None
        return answer(text) if work.parse else text

    with ThreadPoolExecutor(work.concurrency) as pool:
        work.write(dict(zip(work.rows, pool.map(ask, work.rows.values()), strict=True)))
