"""The whole contract of the graph on one page: records, inputs, states and outputs.

Everything is JSON-native. Rows of data, and what there is for each batch of them, live in the run directory and appear
here as `Artifact`s; what a person debugs (analyses, patterns, strategies, how each strategy's batches came out, scores)
is in the state itself, in append-only lists whose records carry `iteration`, the round of augmentation they belong to
(0 = vanilla fine-tuning). So the state has the size of the rounds, whatever the number of rows.
"""

from operator import add
from typing import Annotated, Any, Literal, NotRequired

from typing_extensions import TypedDict

Row = dict[str, Any]  # one row of a task: "id" and the task's own fields
Split = Literal["train", "validation", "test"]
# Learn from generalization patterns (A.2.1), from training errors (A.2.2), or, some baselines, from any train row.
Branch = Literal["pattern", "error", "train"]

# ---------------------------------------------------------------------------------------------------------- records


class Artifact(TypedDict):
    """A JSONL file of the run directory."""

    path: str  # relative to the run directory
    count: int
    sha256: str


class Score(TypedDict):
    """Accuracy of one model on one split, with its Wilson 95 % interval."""

    n: int
    correct: int
    accuracy: float
    low: float
    high: float
    unparsed: int  # outputs without a readable answer: wrong, and counted here too
    truncated: int  # outputs that met the token limit


class Evaluation(TypedDict):
    """One model's predictions on one split."""

    iteration: int | None  # None: the untuned base model
    split: Split
    score: Score
    predictions: Artifact


class Prediction(TypedDict):
    """One line of predictions_*.jsonl: (x, y, y-hat) and the task's verdict Fail (A.1)."""

    id: str
    prompt: str
    target: str
    output: str
    correct: bool
    parsed: str | None  # the answer read from the output; None: unreadable
    reason: str  # why it is wrong, in words; empty if correct
    truncated: bool
    measures: dict[str, float]  # the task's further measures of this output (SQuAD: f1, GSM8K: strict)
    group: str | None  # rows of one group are not independent (SQuAD: the article)


class Analysis(TypedDict):
    """a_j: why one validation failure happened (A.2.1, Figure 2)."""

    iteration: int
    failure_id: str
    error_cause: str
    scenario_category: str


class Cluster(TypedDict):
    """C_k: failures whose analyses are alike (equation 2)."""

    iteration: int
    cluster: int
    failure_ids: list[str]


class Clustering(TypedDict):
    """How K was chosen, once per iteration."""

    iteration: int
    k: int
    method: Literal["elbow", "silhouette", "single"]
    inertia: list[float]  # for k = 1, 2, ...


class Centroid(TypedDict):
    """One line of centroids.jsonl: where a cluster lies among the embedded analyses. Never in the state."""

    iteration: int
    cluster: int
    centroid: list[float]  # unit vector of the embedder's dimension


class Place(TypedDict):
    """Where the analysis of one failure lies in the plane."""

    failure_id: str
    cluster: int
    x: float
    y: float


class FailureMap(TypedDict):
    """map.json: a round's embedded analyses in their two main directions. Never in the state."""

    iteration: int
    explained: list[float]  # share of the variance along x and y
    places: list[Place]


class Pattern(TypedDict):
    """pattern_k: the systematic weakness that a cluster shows (A.2.1, Figure 3)."""

    iteration: int
    pattern_id: str
    cluster: int
    size: int
    category_name: str
    error_pattern: str


class Strategy(TypedDict):
    """strategy_k: how to write training data against one pattern (A.2.1, Figure 4)."""

    iteration: int
    strategy_id: str
    pattern_id: str
    category_name: str
    strategy_name: str
    generation_approach: str
    key_elements: list[str]


def edited(known: list[Strategy], new: list[Strategy]) -> list[Strategy]:
    """The reducer of strategies: one whose id is known takes its place, so that a person can edit the list (Studio)."""
    return list(({s["strategy_id"]: s for s in known} | {s["strategy_id"]: s for s in new}).values())


class Slot(TypedDict):
    """One synthetic sample to be written, and the train row it starts from."""

    sample_id: str
    seed_id: str


class BatchPlan(TypedDict):
    """B samples that are generated and judged in one call each (A.5)."""

    iteration: int
    batch_id: str
    branch: Branch
    strategy_id: str | None  # None in the error branch
    slots: list[Slot]


class Seed(TypedDict):
    """x_i of D_train, or e_i of E_train with the student's wrong answer: all that a generator ever sees."""

    id: str
    row: Row
    wrong_answer: str | None  # only in the error branch


class Draft(TypedDict):
    """One synthetic sample as generated, before anybody judged it."""

    sample_id: str
    seed_id: str
    row: Row | None  # None: the reply held no usable sample for this slot
    fault: str | None  # why it is unusable, told to the generator; None: fit for the judge
    fate: Literal["ok", "failed", "duplicate", "contaminated"]
    attempt: int  # that wrote it; 0 = first
    prompt_sha256: str
    overlap: str | None  # kind of what a duplicate or contaminated draft repeats (nodes/guard.py)


class Review(TypedDict):
    """The judge's ratings of one sample, each 1-10 (A.4)."""

    sample_id: str
    adherence: float | None  # pattern branch only
    utility: float
    relevance: float
    score: float  # their mean
    feedback: str


class Fates(TypedDict):
    """What became of samples: requested = accepted + rejected + failed + duplicate + contaminated."""

    requested: int
    accepted: int
    rejected: int  # judged, and not good enough
    failed: int  # no usable sample: malformed, missing, or refused by the task's own validator
    duplicate: int
    contaminated: int  # overlaps validation or test


class Attempt(TypedDict):
    """One turn of the quality-control loop for one batch."""

    attempt: int  # 0 = first generation
    score: float | None  # mean over the samples asked for, an unusable one counts 1, but one that the provider refused
    # does not count; None: quality control is off
    usable: int
    feedback: str  # what the next attempt is told
    drafts: list[Draft]
    reviews: list[Review]
    books: Fates  # of the samples asked for in this attempt, as its gate saw them


class Sample(TypedDict):
    """An accepted synthetic row with its lineage."""

    id: str
    row: Row
    iteration: int
    branch: Branch
    strategy_id: str | None
    pattern_id: str | None
    seed_id: str
    batch_id: str
    generator: str  # model id
    prompt_sha256: str
    attempts: int  # up to the one that wrote it
    scores: list[float]  # batch score of each of them
    review: Review | None  # None where no judge rated it: switched off, or none in the method


class BatchOutcome(Fates):
    """What became of one batch.

    Batches do not see one another: samples that repeat another batch's are taken out when the round is closed, and
    batches.jsonl has the final numbers. `accepted_batch` is true if a sample is left.
    """

    iteration: int
    batch_id: str
    branch: Branch
    strategy_id: str | None
    accepted_batch: bool
    attempts: int
    scores: list[float]
    feedback: list[str]
    books: list[Fates]  # of each attempt
    file: str  # the batch's drafts, reviews and samples


class StrategyOutcome(Fates):
    """How the batches of one strategy, or of the error branch, came out when the round was closed.

    What happened to each batch, with scores, feedback, drafts and reviews, is in iteration_t/batches/ID.json.
    """

    iteration: int
    branch: Branch
    strategy_id: str | None
    batches: int
    accepted_batches: int  # with at least one accepted sample
    attempts: int  # of all batches together
    first_score: float | None  # mean batch score of the first attempts; None: quality control is off
    best_score: float | None  # and of each batch's best one; the last may be of a few samples that were missing
    lowest_batch: str  # the batch whose best attempt is the lowest: the one to look at


class Accounting(Fates):
    """The fates of one iteration's samples."""

    iteration: int


# ----------------------------------------------------------------------------------------------------------- states


class PadaInput(TypedDict, total=False):
    """Input of the graph: scalars only, so that Studio shows a usable form. Absent ones come from the config."""

    task: str
    run_dir: str
    method: str
    train_size: int
    seed: int


class PadaState(PadaInput, total=False):
    """The shared state that the orchestrator maintains (2.1)."""

    iteration: int  # the round being worked on
    stop_reason: str  # why no further round follows; empty while the loop goes on
    training_sets: Annotated[list[Artifact], add]  # D_train plus D_syn so far, one per iteration
    evaluations: Annotated[list[Evaluation], add]
    analyses: Annotated[list[Analysis], add]
    clusterings: Annotated[list[Clustering], add]
    clusters: Annotated[list[Cluster], add]
    patterns: Annotated[list[Pattern], add]
    strategies: Annotated[list[Strategy], edited]
    plan: Artifact  # this round's batches, a BatchPlan each
    outcomes: Annotated[list[StrategyOutcome], add]
    accounting: Annotated[list[Accounting], add]
    notes: Annotated[list[str], add]  # what a reader of the report should know: shortfalls, skipped branches
    best_iteration: int


class PadaOutput(TypedDict, total=False):
    """What `invoke` returns; metrics.json and report.html in the run directory hold the rest."""

    run_dir: str
    iteration: int
    stop_reason: str
    best_iteration: int
    evaluations: list[Evaluation]
    patterns: list[Pattern]
    strategies: list[Strategy]
    accounting: list[Accounting]
    notes: list[str]


class AnalysisInput(TypedDict):
    """Input of the pattern-analysis subgraph: the round whose strategies are wanted."""

    run_dir: str
    iteration: int


class AnalysisUpdate(TypedDict, total=False):
    """What the nodes of the pattern-analysis subgraph add. It alone holds validation failures."""

    failure_batches: list[list[Prediction]]  # the subsample of E_val, as it is analysed
    analyses: Annotated[list[Analysis], add]
    clusterings: Annotated[list[Clustering], add]
    clusters: Annotated[list[Cluster], add]
    patterns: Annotated[list[Pattern], add]
    strategies: Annotated[list[Strategy], edited]
    notes: Annotated[list[str], add]


class AnalysisState(AnalysisInput, AnalysisUpdate):
    """State of the pattern-analysis subgraph."""


class AnalysisOutput(TypedDict, total=False):
    """What leaves the subgraph: no validation row among it."""

    analyses: list[Analysis]
    clusterings: list[Clustering]
    clusters: list[Cluster]
    patterns: list[Pattern]
    strategies: list[Strategy]
    notes: list[str]


class FailureBatch(AnalysisInput):
    """Payload of one analyze_errors task."""

    batch: int
    failures: list[Prediction]


class ClusterTask(AnalysisInput):
    """Payload of one categorize_pattern task."""

    cluster: int
    analyses: list[Analysis]


class PatternTask(AnalysisInput):
    """Payload of one draft_strategy task."""

    pattern: Pattern


class RoundInput(TypedDict):
    """Input of the synthesize_batches subgraph: one round's plan and strategies."""

    run_dir: str
    iteration: int
    plan: Artifact
    strategies: list[Strategy]


class RoundUpdate(TypedDict, total=False):
    """What open_batches adds."""

    batches: list[BatchPlan]


class RoundState(RoundInput, RoundUpdate):
    """State of the synthesize_batches subgraph. It is never checkpointed, so that checkpoints do not grow with rows."""


class RoundOutput(TypedDict):
    """What leaves the synthesize_batches subgraph: nothing, each batch has its own file."""


class BatchInput(TypedDict):
    """Input of the synthesize_batch subgraph."""

    run_dir: str
    plan: BatchPlan
    strategy: Strategy | None


class BatchUpdate(TypedDict, total=False):
    """What the nodes of the generate / quality-control loop add."""

    seeds: list[Seed]
    attempt: int  # of the draft at hand; 0 = first
    drafts: list[Draft]
    refused: list[str]  # ids of slots that the provider refuses because of their content: final
    open: list[str]  # ids of slots that the next attempt writes
    feedback: str  # for the next attempt
    passed: bool  # whether the drafts at hand meet the threshold
    attempts_left: int
    kept: list[Draft]  # what is good enough so far
    history: Annotated[list[Attempt], add]
    outcomes: Annotated[list[BatchOutcome], add]


class BatchState(BatchInput, BatchUpdate):
    """State of one batch in the generate / quality-control loop."""


class BatchName(TypedDict):
    """Input of Studio's synthesize_batch: a batch of an existing run, carried through anew beside the run's own."""

    run_dir: str
    batch_id: str  # as in iteration_t/plan.jsonl
    generation_approach: NotRequired[str]  # another wording of its strategy to try; empty: the run's


class OneBatchState(BatchName, BatchInput):
    """State of that graph: what the name stands for."""

    outcomes: Annotated[list[BatchOutcome], add]


class BatchOutput(TypedDict, total=False):
    """What leaves the synthesize_batch subgraph; the samples are in the outcome's file."""

    outcomes: list[BatchOutcome]
