"""Packed layers compute what the plain ones do, and only those whose type the CPU multiplies are packed."""

import pytest

pytest.importorskip("peft")

import torch

from pada_graph.student import models, packing

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch was built without oneDNN")
IDS = torch.arange(3, 43).reshape(2, 20)


def tiny(dtype=torch.float32):
    return models.load_base(models.resolve("builtin:tiny"), dtype).eval()


def logits(model):
    with torch.inference_mode():
        return model(input_ids=IDS, logits_to_keep=3).logits


def is_plain(model):
    return all(type(layer) is torch.nn.Linear for layer in model.modules() if isinstance(layer, torch.nn.Linear))


@needs_onednn
def test_a_packed_model_gives_the_plain_ones_logits():
    plain, packed = tiny(), tiny()
    packing.pack(packed)
    assert not is_plain(packed)
    torch.testing.assert_close(logits(packed), logits(plain), rtol=1e-4, atol=1e-5)


@needs_onednn
def test_a_bias_is_added():
    plain = torch.nn.Linear(6, 5)
    packed = packing._packed_linear()(plain)
    rows = torch.randn(2, 3, 6)
    with torch.inference_mode():
        torch.testing.assert_close(packed(rows), plain(rows))


def test_an_adapter_acts_on_a_packed_model_as_on_a_plain_one():
    from peft import LoraConfig, get_peft_model

    found = []
    for change in (packing.pack, lambda model: None):
        model = tiny()
        before = logits(model)
        change(model)
        torch.manual_seed(0)
        adapted = get_peft_model(model, LoraConfig(target_modules="all-linear", init_lora_weights=False)).eval()
        found.append(logits(adapted))
        assert not torch.allclose(found[-1], before, atol=0.01)  # the adapter does something
        torch.testing.assert_close(logits(adapted.unload()), before, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


@needs_onednn
def test_the_head_is_packed_and_the_embedding_that_shares_its_weight_is_not():
    from transformers import LlamaConfig, LlamaForCausalLM

    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(**small, vocab_size=50, tie_word_embeddings=True)).eval()
    assert model.lm_head.weight is model.get_input_embeddings().weight
    embedding, before = model.get_input_embeddings().weight.clone(), logits(model)
    packing.pack(model)
    assert model.lm_head.weight.layout == torch._mkldnn
    assert torch.equal(model.get_input_embeddings().weight, embedding)
    torch.testing.assert_close(logits(model), before, rtol=1e-4, atol=1e-5)


@needs_onednn
@pytest.mark.skipif(not packing._multiplies(torch.bfloat16), reason="this CPU computes no bfloat16")
def test_a_packed_model_in_bfloat16_gives_the_plain_ones_logits():
    plain, packed = tiny(torch.bfloat16), tiny(torch.bfloat16)
    packing.pack(packed)
    assert not is_plain(packed)
    torch.testing.assert_close(logits(packed), logits(plain), rtol=0.05, atol=0.02)


def test_another_dtype_is_left_as_it_is():
    model = tiny(torch.float64)
    packing.pack(model)
    assert is_plain(model)


def test_bfloat16_is_left_as_it_is_where_the_cpu_does_not_compute_it(monkeypatch):
    monkeypatch.setattr(packing, "_multiplies", lambda dtype: dtype == torch.float32)
    model = tiny(torch.bfloat16)
    packing.pack(model)
    assert is_plain(model)


def test_without_onednn_a_model_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    model = tiny()
    packing.pack(model)
    assert is_plain(model)
