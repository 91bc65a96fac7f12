"""RunConfig: everything a run can be told, with the paper's section 3.2 as defaults.

It is also the graph's context_schema, which is what Studio makes its form from.
"""

import difflib
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, field_validator, model_validator

TaskName = Literal["arc_challenge", "gsm8k", "hellaswag", "squad", "humaneval", "demo", "jsonl"]
MethodName = Literal[
    "pada",
    "vanilla",
    "auggpt",
    "llms_as_instructors",
    "llms_as_instructors_contrastive",
    "llm2llm",
    "vanilla_repeated",
    "pada_random_strategies",
]
PromptName = Literal[
    "error_analysis",
    "pattern_categorization",
    "strategy_drafting",
    "generate_from_pattern",
    "generate_from_errors",
    "quality_control",
    "answer_verification",
    "answer_grading",
    "auggpt",
    "llms_as_instructors",
    "llm2llm",
]
Match = Literal["exact", "number", "choice", "judge"]
Role = Literal["analyst", "generator", "judge"]
ROLES: tuple[Role, ...] = ("analyst", "generator", "judge")

LLAMA_70B = "bedrock_converse:us.meta.llama3-3-70b-instruct-v1:0"
CLAUDE_HAIKU = "bedrock_converse:us.anthropic.claude-haiku-4-5-20251001-v1:0"
RULES = "builtin:rules"  # the demo's rule-based teacher


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values never change, and a section left empty has its defaults."""

    # What was given may hold a key, and a traceback shows a whole error.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, raw: Any) -> Any:
        return {} if raw is None else raw


class Data(Section):
    """Where the rows come from and how many are used.

    Sizes that are left out are the paper's, or for files of the user's own all rows: `model_fields_set` has the given.
    """

    source: str = Field(
        "hub",
        description="hub, a folder with train|validation|test.jsonl[.gz], one file .jsonl[.gz] that is split here (a "
        "fifth each for validation and test), or builtin:demo; of files all rows are used unless sizes are given",
    )
    train_size: int = Field(1000, ge=1, description="Rows of D_train; smaller sizes are prefixes of larger ones (3.1).")
    validation_size: int = Field(500, ge=1, description="Rows of D_val (3.1).")
    test_size: int = Field(500, ge=1, description="Rows of the test split (3.1).")
    seed: int = Field(0, description="Seed of the one permutation all sizes are cut from; not the run's seed.")
    overlap: Literal["error", "drop"] = Field(
        "error", description="Rows that repeat, or nearly repeat, a row of a more held-out split: refuse or leave out."
    )
    match: Match = Field(
        "exact",
        description="Task jsonl only: how an output is compared with the answer. judge: exactly, and what differs is "
        "graded by models.judge; a task file may have it too.",
    )

    @model_validator(mode="wrap")
    @classmethod
    def _own_sizes(cls, raw: Any, handler: ModelWrapValidatorHandler["Data"]) -> "Data":
        from pada_graph.sizes import own_sizes

        if not isinstance(raw, dict):
            return handler(raw)
        data = handler(own_sizes(raw) | raw)
        data.model_fields_set.intersection_update(raw)  # a size that was filled in is not one that was given
        return data


class Lora(Section):
    """LoRA adapter (3.2)."""

    r: int = Field(32, ge=1, description="Rank of the two matrices that are trained beside each weight (3.2).")
    alpha: int = Field(32, ge=1, description="Their product counts alpha / r times (3.2).")
    dropout: float = Field(0.05, ge=0, lt=1, description="Share of the adapter's inputs left out while training (3.2).")
    target_modules: str | list[str] = Field("all-linear", description="PEFT's target_modules; the paper is silent.")


class Training(Section):
    """Supervised fine-tuning (3.2); schedule linear to 0, no warm-up, plain Adam, gradients cut to norm 1."""

    # A float: read back from the run directory it is the same training job.
    epochs: float = Field(5.0, gt=0, description="Passes over the training set (3.2).")
    learning_rate: float = Field(2e-4, gt=0, description="At the first step; falls linearly to 0 (3.2).")
    batch_size: int = Field(8, ge=1, description="Rows per optimiser step; the paper is silent.")


class Inference(Section):
    """How the student answers."""

    engine: Literal["transformers"] = Field("transformers", description="The only one: Hugging Face transformers.")
    max_new_tokens: int | None = Field(None, ge=1, description="null: the task's own limit.")
    batch_size: int = Field(128, ge=1, description="Prompts in flight; fewer where their keys and values take 2 GiB.")


class Student(Section):
    """The small language model that is fine-tuned."""

    model: str = Field(
        "meta-llama/Llama-3.2-1B-Instruct", description="hub id, folder, builtin:smollm2-135m or builtin:tiny"
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on a GPU that has it, else float32."
    )
    lora: Lora = Lora()
    training: Training = Training()
    inference: Inference = Inference()


class Model(BaseModel):
    """One teacher model: any init_chat_model id; further keys are its keyword arguments (base_url, api_key, ...)."""

    model_config = ConfigDict(extra="allow", frozen=True)
    model: str = Field(description="init_chat_model id, gguf:PATH, or builtin:rules")
    temperature: float | None = Field(0, ge=0, le=2, description="null: do not send one.")


class Models(Section):
    """The teacher's three roles (3.2). The judge is another model than the generator: no self-enhancement bias."""

    analyst: Model = Model(model=LLAMA_70B)
    generator: Model = Model(model=LLAMA_70B, temperature=0.7)
    judge: Model = Model(model=CLAUDE_HAIKU)


class Patterns(Section):
    """Learn from generalization patterns (A.2.1)."""

    enabled: bool = Field(True, description="false: no failure analysis (ablation); samples from train errors alone.")
    max_errors: int = Field(50, ge=1, description="Validation failures sampled for analysis (3.2).")
    analysis_batch: int = Field(10, ge=1, description="Failures per analysis call (A.5).")
    embedder: str = Field(
        "sentence-transformers/all-mpnet-base-v2",
        min_length=1,
        description="sentence-transformers id, folder or builtin:minilm",
    )
    min_clusters: int = Field(2, ge=2, description="Fewest patterns; k-means tries no smaller number (3.2).")
    max_clusters: int = Field(10, ge=2, description="Most patterns; k-means tries no larger number (3.2).")

    @model_validator(mode="after")
    def _ordered(self) -> "Patterns":
        if self.max_clusters < self.min_clusters:
            raise ValueError(f"max_clusters ({self.max_clusters}) is below min_clusters ({self.min_clusters})")
        return self


class TrainErrors(Section):
    """Learn from training errors (A.2.2)."""

    enabled: bool = Field(True, description="false: no samples from train errors (ablation).")


class Generation(Section):
    """How much synthetic data (3.2)."""

    ratio: float = Field(0.5, gt=0, le=10, description="Synthetic rows per iteration, as a share of D_train.")
    batch_size: int = Field(10, ge=1, description="B: samples per generation and judging call (A.5).")
    pattern_share: float = Field(
        0.5, ge=0, le=1, description="Share of the pattern branch; the rest is the error branch."
    )


class Quality(Section):
    """Quality control (2.4, A.4)."""

    enabled: bool = Field(True, description="false: no judge (ablation); checks of form, duplicates and leakage stay.")
    threshold: float = Field(7, ge=1, le=10, description="Least score of what is accepted (3.2).")
    max_regenerations: int = Field(3, ge=0, description="New attempts, with feedback, for what fell short (3.2).")
    gate: Literal["batch", "sample"] = Field(
        "batch", description="What is compared with the threshold and written anew."
    )
    on_exhausted: Literal["drop", "keep_best"] = Field("drop", description="Batches that never pass.")
    verify_answers: bool = Field(
        False, description="The judge answers each question unseen; disagreement is a fault. Not in the paper."
    )


class Limits(Section):
    """What a run may use."""

    concurrency: int = Field(16, ge=1, description="Teacher calls in flight to one model.")
    max_calls: int | None = Field(None, ge=1, description="Stop, resumable, before the call that would exceed this.")
    max_usd: float | None = Field(
        None,
        gt=0,
        description="The same in US dollars; every price must be known. A teacher without max_tokens is sent 4096.",
    )
    max_tokens: int | None = Field(
        None, ge=1, description="The same in tokens of all roles, sent and received; max_tokens is sent as for max_usd."
    )
    max_hours: float | None = Field(
        None, gt=0, description="Hours of all sessions of the run together; then nothing new is begun. Resumable."
    )
    prices: str | None = Field(
        None, description="YAML file with your own prices; the form is that of pada_graph/teacher/prices.yaml."
    )


class Ray(Section):
    """Where `executor: ray` computes; results do not depend on it."""

    address: str | None = Field(
        None, description="null: Ray on this machine, for this run. HOST:6379 or ray://HOST:10001: a Ray cluster."
    )
    workers: int | None = Field(None, ge=1, description="null: one per GPU, or 1 where there is none.")


class RunConfig(Section):
    """One run: one method on one task with one seed."""

    task: str = Field(
        "gsm8k",
        description="A file of pada_graph/tasks; jsonl: rows of your own; a path that ends in .py: a task of your own.",
        examples=[*get_args(TaskName), "./my_task.py"],
    )
    task_sha256: str | None = Field(
        None, description="Of the file that `task` names. Filled in when the run begins; a run keeps to it."
    )
    method: MethodName = Field("pada", description="A file of pada_graph/methods, which says what it does.")
    seed: int = Field(0, ge=0, lt=2**32, description="Of training, sampling and clustering.")
    iterations: int = Field(3, ge=0, description="Rounds of augmentation after vanilla fine-tuning.")
    data: Data = Data()
    student: Student = Student()
    models: Models = Models()
    patterns: Patterns = Patterns()
    train_errors: TrainErrors = TrainErrors()
    generation: Generation = Generation()
    quality: Quality = Quality()
    limits: Limits = Limits()
    executor: Literal["local", "ray"] = Field(
        "local", description="Where the student is trained and asked: this machine, or Ray's workers."
    )
    ray: Ray = Ray()
    unsafe_code_execution: bool = Field(
        False, description="Run generated code without a sandbox where none works (humaneval). Anything may happen."
    )

    prompts: dict[PromptName, str] = Field(
        {}, description="Prompts of your own by name, each in place of the file prompts/NAME.txt, with its variables."
    )

    @model_validator(mode="before")
    @classmethod
    def _task_file(cls, raw: Any) -> Any:
        from pada_graph.task_file import with_sha256

        return with_sha256(raw) if isinstance(raw, dict) else raw

    @field_validator("task")
    @classmethod
    def _known_task(cls, task: str) -> str:
        from pada_graph.task_file import is_task_file

        names = get_args(TaskName)
        if task in names or is_task_file(task):
            return task
        close = difflib.get_close_matches(task, names, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"unknown task; {hint}known: {', '.join(names)}, or a Python file of yours, ./my_task.py")

    @property
    def task_name(self) -> str:
        """What the task is called: its name, or that of its file without the folder."""
        from pada_graph.task_file import task_name

        return task_name(self.task)

    @field_validator("prompts", mode="before")
    @classmethod
    def _no_prompts(cls, own: Any) -> Any:
        return {} if own is None else own

    @field_validator("prompts")
    @classmethod
    def _can_be_filled_in(cls, own: dict[PromptName, str]) -> dict[PromptName, str]:
        from pada_graph.prompts import changed  # whose renderer is loaded where it is used

        return changed(own)

    @model_validator(mode="after")
    def _open_answers(self) -> "RunConfig":
        if self.data.match == "judge" and self.task != "jsonl" and self.task in get_args(TaskName):
            raise ValueError(
                f"data.match: judge: the answers of task {self.task} can be verified without a judge; leave data.match "
                "out, or set task: jsonl"
            )
        return self

    @model_validator(mode="after")
    def _rules_know_the_demo(self) -> "RunConfig":
        from pada_graph.methods import used_roles  # which rests on this file

        roles = [role for role in used_roles(self) if getattr(self.models, role).model == RULES]
        if roles and self.task != "demo":
            named = ", ".join(f"models.{role}.model" for role in roles)
            raise ValueError(
                f"{named}: {RULES} writes the demo's word problems alone; name a real model for task {self.task}, or "
                "set task: demo"
            )
        return self
