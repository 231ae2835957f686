"""Every family of README's table: from text to a model that the library loads, that llmctl judges and lets write.

Also what a family's recurrence could spoil: rows padded beside longer ones must score and write what they do alone.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from llmctl import models
from llmctl.config import EvalConfig, GenerateConfig, ModelShape, PredictConfig
from llmctl.errors import ConfigError
from llmctl.inference.generation import generate_batch
from llmctl.inference.rows import Prompt
from llmctl.progress import SILENT
from llmctl.purposes import MODEL_CLASSES
from llmctl.workflows import evaluate, predict, pretrain
from tests import tiny

ROOT = Path(__file__).parents[2]
# one of each kind; the others are slow together
QUICK = [
    *(("clm", name) for name in ("gpt2", "llama", "mamba", "mamba2", "rwkv", "recurrent_gemma")),
    *(("mlm", name) for name in ("bert", "distilbert", "modernbert", "electra", "deberta")),
    *(("seq2seq", name) for name in ("t5", "bart")),
]
HEADLESS = ("mamba", "falcon_mamba", "rwkv")


def families() -> list[tuple[str, str]]:
    """Objective and architecture, as README's table of families has them."""
    table = (ROOT / "README.md").read_text().split("### Families\n")[1].split("\n\n##")[0]
    rows = re.findall(r"^\| `([a-z0-9+]+)` \| ([^|]+) \|", table, flags=re.M)
    return [(objective, name) for objective, names in rows for name in re.findall(r"`([\w-]+)`", names)]


def marked(objective: str, architecture: str) -> Any:
    slow = () if (objective, architecture) in QUICK else pytest.mark.slow
    return pytest.param(objective, architecture, marks=slow)


@pytest.mark.parametrize(("objective", "architecture"), [marked(*case) for case in families()])
def test_a_family_is_trained_saved_loaded_and_judged(quick: Any, objective: str, architecture: str) -> None:
    shape = {"num_hidden_layers": 3} if architecture == "recurrent_gemma" else {"num_hidden_layers": 2}
    if architecture in HEADLESS:
        shape["num_attention_heads"] = None
    config = quick(objective=objective, architecture=architecture, block_size=32, max_steps=2, **shape)
    result = pretrain.run(config, progress=SILENT)
    auto_class = getattr(transformers, MODEL_CLASSES[objective])
    model, info = auto_class.from_pretrained(result.model, output_loading_info=True)
    assert not any(info.values()), info
    assert model.config.model_type == architecture
    assert model.num_parameters() == result.num_parameters
    tokenizer = transformers.AutoTokenizer.from_pretrained(result.model)
    for role in ("bos", "eos", "pad"):
        assert getattr(model.config, f"{role}_token_id") == getattr(tokenizer, f"{role}_token_id")
    judged = evaluate.run(
        EvalConfig(model="quick", stride=None if objective != "clm" else 32, per_device_eval_batch_size=1),
        progress=SILENT,
    ).to_json()
    assert judged["perplexity"]["value"] == pytest.approx(result.scores["perplexity"], rel=1e-4)
    if objective == "clm":
        _write(model.eval(), tokenizer)
    elif objective == "mlm":
        text = f"once upon a {tokenizer.mask_token}"
        assert predict.run(PredictConfig(text=text, model="quick"), progress=SILENT).answers


def _write(model: Any, tokenizer: Any) -> None:
    """Plain ``generate`` works, and a prompt beside a longer one is continued as it is alone."""
    prompts = ["Once", "Once upon a time there was a"]
    settings = GenerateConfig(prompt="", max_new_tokens=6, temperature=0)
    together = generate_batch(model, tokenizer, [Prompt(prompt) for prompt in prompts], settings, seed=0)
    for prompt, found in zip(prompts, together, strict=True):
        (alone,) = generate_batch(model, tokenizer, [Prompt(prompt)], settings, seed=0)
        assert alone.text == found.text
    ids = torch.tensor([tokenizer(prompts[1])["input_ids"]])
    assert model.generate(ids, max_new_tokens=3, do_sample=False).shape[1] > ids.shape[1]


@pytest.mark.parametrize("architecture", ["mamba", "mamba2", "rwkv", "recurrent_gemma"])
def test_a_recurrent_model_writes_the_same_beside_longer_prompts(architecture: str) -> None:
    """With weights large enough that what is remembered of padding would show."""
    torch.manual_seed(0)
    model = models.new_model(
        ModelShape(architecture=architecture, hidden_size=48, num_hidden_layers=3),
        tiny.byte_tokenizer(),
        model_class="AutoModelForCausalLM",
        block_size=64,
    ).eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.3)
    ids = torch.tensor([tiny.byte_tokenizer()("a fox")["input_ids"]])
    with torch.no_grad():
        for _ in range(8):
            token = model(input_ids=ids, use_cache=False).logits[:, -1].argmax(dim=-1)
            ids = torch.cat([ids, token[:, None]], dim=1)
    settings = GenerateConfig(prompt="", max_new_tokens=8, temperature=0)
    made = [Prompt("a fox"), Prompt("a longer prompt, of a hen"), Prompt("a dog")]
    found = list(generate_batch(model, tiny.byte_tokenizer(), made, settings, seed=0))
    written = tiny.byte_tokenizer().decode(ids[0, 5:])
    assert found[0].text.rstrip("\ufffd") == written.rstrip("\ufffd"), "but for half a letter at the end"


def test_an_architecture_is_refused_with_what_it_can_learn(quick: Any) -> None:
    for objective, architecture, hint in [
        ("clm", "bert", "--objective mlm or mlm"),
        ("mlm", "t5", "--objective seq2seq"),
        ("mlm+nsp", "gpt2", "--objective clm"),
        ("clm", "xlnet", "for example: gpt2"),
    ]:
        with pytest.raises(ConfigError) as refused:
            pretrain.check(quick(objective=objective, architecture=architecture))
        assert hint in str(refused.value.hint)


def test_a_shape_that_fails_when_it_is_used_is_refused(quick: Any) -> None:
    with pytest.raises(ConfigError, match="'codegen' refuses this shape"):
        pretrain.run(quick(architecture="codegen"), progress=SILENT)
