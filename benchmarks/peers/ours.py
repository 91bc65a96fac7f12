"""This project's teacher: every call in its journal, in FOLDER/teacher_calls.sqlite, from a pool of threads."""

from concurrent.futures import ThreadPoolExecutor

from benchmarks.peers.rows import KEY, MODEL, job

if __name__ == "__main__":
    work = job()

    from pydantic import BaseModel

    from pada_graph.config import Limits, Model, Models
    from pada_graph.errors import StoppedError
    from pada_graph.teacher.ask import ask_object
    from pada_graph.teacher.journaled import JournaledTeacher

    class Answer(BaseModel):
        answer: str

    model = Model.model_validate({"model": f"openai:{MODEL}", "base_url": work.base_url, "api_key": KEY})
    limits = Limits(concurrency=work.concurrency)
    teacher = JournaledTeacher(Models(analyst=model), limits, work.folder / "teacher_calls.sqlite", ("analyst",))

    def ask(row: tuple[str, str]) -> str | None:
        id_, prompt = row
        try:
            if not work.parse:
                return teacher.ask("analyst", prompt, item=id_).text
            found = ask_object(teacher, "analyst", item=id_, prompt=prompt, schema=Answer)
        except StoppedError:
            return None
        return None if found is None else found.model_dump_json()

    with ThreadPoolExecutor(work.concurrency) as pool:
        texts = dict(zip(work.rows, pool.map(ask, work.rows.items()), strict=True))
    teacher.close()
    work.write(texts)
