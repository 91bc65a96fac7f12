"""Rows that share a cache get the tokens that each gets alone from transformers' `generate`."""

import random

import pytest

pytest.importorskip("transformers")

import torch

from pada_graph.student import decoding, likeliest, models

ENDS = [2]


@pytest.fixture(scope="module")
def model():
    return models.load_base(models.resolve("builtin:tiny"), torch.float32).eval()


def alone(model, prompt, limit, stopped=lambda answers: [False] * len(answers)):
    """What `generate` writes to one prompt, up to where it ends."""
    ids = torch.tensor([prompt])
    output = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, do_sample=False, eos_token_id=ENDS,
        pad_token_id=0,
    )  # fmt: skip
    written = output[0, len(prompt) :].tolist()
    for length in range(1, len(written) + 1):
        if written[length - 1] in ENDS or stopped([written[:length]])[0]:
            return written[:length]
    return written


def decode(model, prompts, limit, together=4, stopped=lambda answers: [False] * len(answers), room=10_000, read=512):
    calls = []

    def counted(**inputs):
        calls.append(tuple(inputs["input_ids"].shape))
        return model(**inputs)

    decoder = decoding.Decoder(
        counted,
        together=together,
        room=room,
        read_tokens=read,
        limit=limit,
        ends=ENDS,
        stopped=stopped,
        device=torch.device("cpu"),
    )
    found = [pair for some in decoder.answer(prompts) for pair in some]
    assert sorted(index for index, _ in found) == list(range(len(prompts)))
    return [answer for _, answer in sorted(found)], calls


def some_prompts(count, head=(), seed=0, longest=40):
    rng = random.Random(seed)
    return [[*head, *(rng.randrange(3, 250) for _ in range(rng.randrange(1, longest)))] for _ in range(count)]


def ends_with_a_small_one(answers):
    """A stop rule that ends rows at different steps."""
    return [answer[-1] % 7 == 0 for answer in answers]


@pytest.mark.parametrize("head", [(), (5,), tuple(range(10, 40))], ids=["no head", "one token", "long head"])
@pytest.mark.parametrize("together", [1, 3, 64])
def test_each_row_gets_what_it_gets_alone(model, head, together):
    prompts = some_prompts(23, head)
    expected = [alone(model, prompt, 12, ends_with_a_small_one) for prompt in prompts]
    assert len({len(answer) for answer in expected}) > 3  # rows end at different steps
    assert decode(model, prompts, 12, together, ends_with_a_small_one)[0] == expected


def test_tokens_that_are_looked_for_in_blocks_are_the_same(model, monkeypatch):
    assert model.config.vocab_size == 7 * 37
    monkeypatch.setattr(likeliest, "BLOCK", 7)
    prompts = some_prompts(9)
    assert decode(model, prompts, 12)[0] == [alone(model, prompt, 12) for prompt in prompts]


def test_answers_longer_than_the_free_columns_go_on_in_a_larger_cache(model, monkeypatch):
    monkeypatch.setattr(decoding, "FREE_COLUMNS", 5)
    prompts = some_prompts(6)
    assert decode(model, prompts, 33)[0] == [alone(model, prompt, 33) for prompt in prompts]


def test_a_head_is_computed_once_and_each_prompt_keeps_a_token_of_its_own(model):
    head = list(range(20, 60))
    prompts = [[*head, 7], [*head, 8, 9], head, [*head, 7]]
    answers, calls = decode(model, prompts, 3)
    assert answers == [alone(model, prompt, 3) for prompt in prompts]
    assert calls[0] == (1, len(head) - 1)  # `head` itself is a prompt
    assert all(shape[1] <= 3 for shape in calls[1:])


def test_rows_that_ended_make_room_for_others_before_the_rest_has_ended(model):
    prompts = some_prompts(16)
    longest = max(prompts, key=len)  # in the first group
    (first_token,) = alone(model, longest, 1)

    def stopped(answers):  # all others end at their second token
        return [len(answer) > 1 and answer[0] != first_token for answer in answers]

    answers, calls = decode(model, prompts, 30, 4, stopped)
    assert answers == [alone(model, prompt, 30, stopped) for prompt in prompts]
    steps = [number for number, (_, width) in enumerate(calls) if width == 1]
    last_read = max(number for number, (_, width) in enumerate(calls) if width > 1)
    lengths = [len(answers[index]) - 1 for index in sorted(range(16), key=lambda index: -len(prompts[index]))]
    in_groups = sum(max(lengths[start : start + 4]) for start in range(0, 16, 4))  # each waits for its last row
    assert len(steps) < in_groups - 20
    assert sum(number > last_read for number in steps) > 20  # all others came and went beside the longest


def test_fewer_rows_are_in_flight_where_the_cache_would_grow_too_large(model):
    prompts = some_prompts(9, longest=30)
    answers, calls = decode(model, prompts, 20, together=9, room=100)
    assert answers == [alone(model, prompt, 20) for prompt in prompts]
    assert 1 < max(rows for rows, _ in calls) <= 100 // 20


def test_a_prompt_that_alone_is_too_large_for_the_cache_is_answered_alone(model):
    prompts = some_prompts(3, longest=30)
    answers, calls = decode(model, prompts, 8, room=10)
    assert answers == [alone(model, prompt, 8) for prompt in prompts]
    assert {rows for rows, _ in calls} == {1}


def test_the_room_is_what_the_keys_and_values_of_a_token_take():
    from transformers import AutoConfig, AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig

    small = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    configs = [
        LlamaConfig(**small, num_attention_heads=4),
        LlamaConfig(**small, num_attention_heads=4, num_key_value_heads=2),
        Gemma3TextConfig(**small, num_attention_heads=4, num_key_value_heads=1, head_dim=16),
        AutoConfig.for_model("gpt2", vocab_size=50, n_embd=32, n_head=4, n_layer=2),
    ]
    for config in configs:
        model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16).eval()
        cache = model(input_ids=torch.tensor([[3, 4, 5]]), use_cache=True).past_key_values
        taken = sum(states.nbytes for layer in cache.layers for states in (layer.keys, layer.values))
        assert decoding.cached_tokens(model) == 3 * decoding.CACHE_BYTES // taken


def test_what_was_in_memory_before_changes_nothing(model):
    prompts = some_prompts(23, range(10, 20))
    expected = [alone(model, prompt, 12, ends_with_a_small_one) for prompt in prompts]
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # new memory is full of NaN
    try:
        assert torch.empty(3).isnan().all()
        assert decode(model, prompts, 12, 4, ends_with_a_small_one)[0] == expected
    finally:
        torch.use_deterministic_algorithms(before)


def test_prompts_are_read_in_portions(model):
    prompts = some_prompts(12)
    answers, calls = decode(model, prompts, 4, together=12, read=64)
    assert answers == [alone(model, prompt, 4) for prompt in prompts]
    read = [shape for shape in calls if shape[1] > 1]
    assert len(read) > 1 and all(rows * width <= 64 for rows, width in read)


def test_no_prompts_give_no_answers(model):
    assert decode(model, [], 4) == ([], [])


def test_models_whose_tokens_depend_on_more_than_their_positions_are_left_to_generate(model):
    from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, MistralConfig

    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    neo = {"hidden_size": 32, "num_layers": 2, "num_heads": 2}
    assert decoding.can_decode(model)
    others = [
        MistralConfig(**small, num_key_value_heads=2, vocab_size=50, sliding_window=8),
        LlamaConfig(**small, vocab_size=50, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}),
        AutoConfig.for_model("mpt", d_model=32, n_heads=2, n_layers=1, vocab_size=50),
        AutoConfig.for_model("rwkv", hidden_size=32, num_hidden_layers=2, vocab_size=50),
        AutoConfig.for_model("gpt_neo", **neo, vocab_size=50, attention_types=[[["global", "local"], 1]]),
    ]
    assert [decoding.can_decode(AutoModelForCausalLM.from_config(config)) for config in others] == [False] * 5


def test_the_predictor_answers_a_model_with_a_sliding_window_as_generate_does(tmp_path):
    from transformers import MistralConfig, MistralForCausalLM

    from pada_graph.config import Inference, Student
    from pada_graph.student import render
    from pada_graph.student.inference import TransformersPredictor

    tokenizer = models.load_tokenizer(models.resolve("builtin:tiny"))
    config = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=8, initializer_range=0.3, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    windowed = MistralForCausalLM(config).eval()
    windowed.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    prompts = [f"{'long ' * n}{n}" for n in range(5)]
    predictor = TransformersPredictor(Student(model=str(tmp_path), inference=Inference(batch_size=2)))
    found = {
        completion.index: completion.text
        for completion in predictor.predict(None, prompts, max_new_tokens=9, stop=("zz",))
    }
    encoded = [render.prompt_ids(tokenizer, prompt) for prompt in prompts]
    assert [found[index] for index in range(5)] == [
        tokenizer.decode(alone(windowed, ids, 9), skip_special_tokens=True).strip() for ids in encoded
    ]


def test_the_predictor_answers_a_model_that_divides_its_weights_as_generate_does(tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM

    from pada_graph.config import Inference, Student
    from pada_graph.student import render
    from pada_graph.student.inference import TransformersPredictor

    tokenizer = models.load_tokenizer(models.resolve("builtin:tiny"))
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "rwkv", vocab_size=len(tokenizer), hidden_size=32, attention_hidden_size=32, num_hidden_layers=3,
        rescale_every=1, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    recurrent = AutoModelForCausalLM.from_config(config).eval()
    recurrent.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    student = Student(model=str(tmp_path), dtype="float32", inference=Inference(batch_size=1))
    (found,) = TransformersPredictor(student).predict(None, ["How many?"], max_new_tokens=9, stop=())
    ids = render.prompt_ids(tokenizer, "How many?")
    assert found.text == tokenizer.decode(alone(recurrent, ids, 9), skip_special_tokens=True).strip()
