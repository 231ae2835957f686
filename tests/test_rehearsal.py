"""Activations and operations that are counted without data, against real steps and published formulas."""

from typing import Any

import pytest
import torch
import transformers

from llmctl.architectures import new_config
from llmctl.config import ModelShape, PretrainConfig
from llmctl.objectives.causal_lm import CausalLM
from llmctl.objectives.masked_lm import MaskedLM
from llmctl.purposes import MODEL_CLASSES
from llmctl.training import rehearsal
from llmctl.training.blank import Blank
from llmctl.training.speed import with_native_kernels
from tests.allocations import peak_bytes

SHAPE = {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
VOCABULARY, LENGTH = 512, 96
IDS = {f"{role}_token_id": number for number, role in enumerate(["pad", "bos", "eos", "cls", "sep"])}


class Tokens:
    """Special tokens that a model's config asks for."""

    def __init__(self) -> None:
        vars(self).update(IDS)


def maker(objective: str, architecture: str, **changes: Any) -> Any:
    config = new_config(
        ModelShape(architecture=architecture, **SHAPE),
        Tokens(),
        vocab_size=VOCABULARY,
        block_size=LENGTH,
        model_class=MODEL_CLASSES[objective],
    )
    for name, value in changes.items():
        setattr(config, name, value)
    return lambda dtype: getattr(transformers, MODEL_CLASSES[objective]).from_config(config, dtype=dtype)


def batch(objective: str, rows: int = 4) -> Blank:
    return Blank(objective, rows, LENGTH, written=LENGTH // 3, hidden=0.15, chunked=True)


CASES = [
    ("clm", "gpt2"),
    ("clm", "llama"),
    ("clm", "gemma2"),
    ("clm", "falcon"),
    ("mlm", "bert"),
    ("mlm", "modernbert"),
    ("mlm", "deberta"),
    ("mlm+sop", "albert"),
    ("seq2seq", "t5"),
    ("seq2seq", "bart"),
    ("sequence_classification", "roberta"),
]


@pytest.mark.parametrize(
    ("objective", "architecture", "checkpointing"),
    [(*case, again) for case in CASES for again in (False, True) if case[1] != "albert" or not again],
)
def test_memory_is_what_the_allocator_gives_in_a_real_step(
    objective: str, architecture: str, checkpointing: bool
) -> None:
    make, blank = maker(objective, architecture), batch(objective)
    planned = rehearsal.rehearse(make, blank, checkpointing=checkpointing)
    model = make(torch.float32)
    with_native_kernels(model)
    model.train()
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    loss = blank.loss_of(model)
    assert peak_bytes(lambda: loss().backward()) == pytest.approx(planned.peak, rel=0.05)
    assert planned.activations <= planned.peak


def test_bfloat16_keeps_less_and_its_copies_of_the_weights() -> None:
    make, blank = maker("clm", "llama"), batch("clm")
    planned = rehearsal.rehearse(make, blank, numbers="autocast")
    model = make(torch.float32).train()
    loss = blank.loss_of(model)

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = loss()
        found.backward()  # type: ignore[no-untyped-call]

    assert peak_bytes(step) == pytest.approx(planned.peak, rel=0.05)
    assert planned.activations < rehearsal.rehearse(make, blank).activations
    sharded = rehearsal.rehearse(make, blank, numbers="bfloat16")
    assert sharded.activations < planned.activations


@pytest.mark.parametrize(
    ("kind", "name", "architecture"), [(CausalLM, "clm", "llama"), (MaskedLM, "mlm", "bert")]
)
def test_blank_batches_take_what_the_objectives_take(kind: Any, name: str, architecture: str) -> None:
    config = PretrainConfig(objective=name, block_size=LENGTH)  # type: ignore[arg-type]
    ids = torch.randint(5, VOCABULARY, (4, LENGTH))
    learnt = torch.rand(4, LENGTH) < 0.15 if name == "mlm" else torch.ones(4, LENGTH, dtype=torch.bool)
    labels = ids.where(learnt, -100)
    inputs = {"input_ids": ids, "labels": labels} | ({"shift_labels": labels} if name == "clm" else {})
    model = maker(name, architecture)(torch.float32).train()
    objective = kind(config, None)
    objective.loss(model, inputs, None).backward()  # what is found out once is found out
    model.zero_grad()
    taken = peak_bytes(lambda: objective.loss(model, inputs, None).backward())
    assert taken == pytest.approx(rehearsal.rehearse(maker(name, architecture), batch(name)).peak, rel=0.1)


def test_a_layer_keeps_what_korthikanti_et_al_count() -> None:
    """s b h (34 + 5 a s / h) bytes: 16 bits, dropout, attention that keeps its scores; BERT's layers are such."""
    rows, length, hidden, heads = 4, 128, 256, 4
    config = transformers.BertConfig(
        vocab_size=64, hidden_size=hidden, num_attention_heads=heads, intermediate_size=4 * hidden
    )
    config._attn_implementation = "eager"

    def taken(layers: int) -> int:
        def make(dtype: torch.dtype) -> Any:
            config.num_hidden_layers = layers
            return transformers.AutoModelForMaskedLM.from_config(config, dtype=dtype)

        blank = Blank("mlm", rows, length, hidden=0.15)
        return rehearsal.rehearse(make, blank, numbers="bfloat16").activations

    published = length * rows * hidden * (34 + 5 * heads * length / hidden)
    assert (taken(8) - taken(4)) / 4 == pytest.approx(published, rel=0.1)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_operations_are_those_of_palm(architecture: str, checkpointing: bool) -> None:
    """6 N + 12 L H Q T a token, N without what is only looked up: positions, and embeddings that are not tied."""
    make = maker("clm", architecture)
    weights = sum(
        weight.numel() for name, weight in make(torch.float32).named_parameters() if "wpe" not in name
    )
    tokens = 4 * LENGTH
    palm = tokens * (6 * weights + 12 * 3 * 128 * LENGTH)
    found = rehearsal.rehearse(make, batch("clm"), checkpointing=checkpointing)
    assert found.flops == pytest.approx(palm, rel=0.01)


def test_layers_that_share_weights_compute_each_for_itself() -> None:
    shared = rehearsal.rehearse(maker("mlm", "albert"), batch("mlm")).flops
    single = rehearsal.rehearse(maker("mlm", "albert", num_hidden_layers=1), batch("mlm")).flops
    assert shared > 2 * single


@pytest.mark.parametrize(
    ("objective", "architecture", "checkpointing", "reason"),
    [
        ("clm", "recurrent_gemma", False, "one token after the other"),
        ("clm", "mixtral", False, "without data"),
        ("mlm", "albert", True, "no activation checkpointing"),
    ],
)
def test_what_cannot_be_told_is_not_told(
    objective: str, architecture: str, checkpointing: bool, reason: str
) -> None:
    with pytest.raises(rehearsal.NotRehearsedError, match=reason):
        rehearsal.rehearse(maker(objective, architecture), batch(objective), checkpointing=checkpointing)


def test_weights_are_told_apart_as_muon_does() -> None:
    model = maker("clm", "llama")(torch.float32)
    found = rehearsal.weights_of(maker("clm", "llama"))
    assert found.number == found.learning == model.num_parameters()
    assert found.tables == ((VOCABULARY, 128),)
    assert len(found.matrices) == 3 * 7
    assert found.in_layers == 3 * found.largest_layer
