import math
from typing import Any

import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM

from llmctl.config import GenerateConfig
from llmctl.errors import ConfigError, ModelError
from llmctl.inference import Continuation, Prompt, generate_batch, stream
from llmctl.inference.rows import Row, make_rows
from tests.tiny import BOS, EOS, POSITIONS, VOCABULARY, byte_tokenizer, gpt2, llama

PROMPTS = ["Once upon a time", "The", "A cat sat on", "The end of it", "x"]


def settings(**changes: Any) -> GenerateConfig:
    return GenerateConfig(**({"max_new_tokens": 20, "temperature": 0.0, "top_p": 1.0} | changes))


def whole(model: Any, tokenizer: Any, prompt: str, config: GenerateConfig, seed: int = 0) -> str:
    return "".join(stream(model, tokenizer, Prompt(prompt), config, seed=seed))


def batch(
    model: Any, tokenizer: Any, prompts: list[str], config: GenerateConfig, seed: int = 0
) -> list[Continuation]:
    return list(generate_batch(model, tokenizer, [Prompt(prompt) for prompt in prompts], config, seed=seed))


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens that rows are given while the test runs."""
    seen: list[int] = []
    push = Row.push
    monkeypatch.setattr(Row, "push", lambda row, token: (seen.append(token), push(row, token))[1])
    return seen


@pytest.mark.parametrize("adds_bos", [False, True])
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_greedy_is_plain_generate_token_for_token(
    model: Any, tokens: list[int], adds_bos: bool, penalty: float
) -> None:
    tokenizer = byte_tokenizer(adds_bos=adds_bos)
    for prompt in PROMPTS:
        tokens.clear()
        whole(model, tokenizer, prompt, settings(repetition_penalty=penalty))
        inputs = tokenizer(prompt, return_tensors="pt")
        expected = model.generate(
            **inputs, do_sample=False, max_new_tokens=20, repetition_penalty=penalty, pad_token_id=0
        )
        assert tokens == expected[0, inputs["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize("changes", [{}, {"temperature": 0.8, "top_p": 0.9, "top_k": 50, "min_p": 0.01}])
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_a_batch_gives_the_texts_of_the_stream(
    model: Any, tokenizer: Any, changes: dict[str, Any], penalty: float
) -> None:
    config = settings(batch_size=3, repetition_penalty=penalty, **changes)
    together = batch(model, tokenizer, PROMPTS, config, seed=5)
    assert [item.prompt for item in together] == PROMPTS
    assert [item.text for item in together] == [
        whole(model, tokenizer, prompt, config, seed=5) for prompt in PROMPTS
    ]


def test_the_seed_decides_and_sequences_differ(tokenizer: Any) -> None:
    model, config = gpt2(), settings(temperature=1.0, num_return_sequences=3)
    once = batch(model, tokenizer, ["The", "The cat"], config, seed=1)
    assert once == batch(model, tokenizer, ["The", "The cat"], config, seed=1)
    assert once != batch(model, tokenizer, ["The", "The cat"], config, seed=2)
    assert len({item.text for item in once}) == 6
    repeated = batch(model, tokenizer, ["The"] * 3, settings(temperature=1.0), seed=1)
    assert [item.text for item in repeated] == [item.text for item in once[:3]]


def test_sampling_has_the_models_odds(tokenizer: Any, tokens: list[int]) -> None:
    model = gpt2(initializer_range=0.2)
    batch(model, tokenizer, ["The"] * 3000, settings(temperature=0.7, max_new_tokens=1, batch_size=1000))
    with torch.no_grad():
        odds = (model(torch.tensor([tokenizer("The").input_ids])).logits[0, -1] / 0.7).softmax(-1)
    found = torch.bincount(torch.tensor(tokens), minlength=VOCABULARY) / 3000
    assert odds.max() > 0.05
    assert (found - odds).abs().max() < 4 * math.sqrt(0.25 / 3000)


def test_top_k_of_one_is_greedy(model: Any, tokenizer: Any) -> None:
    assert whole(model, tokenizer, "The", settings(temperature=1.0, top_k=1)) == whole(
        model, tokenizer, "The", settings()
    )


def test_beams_are_those_of_generate(model: Any, tokenizer: Any, tokens: list[int]) -> None:
    found = batch(model, tokenizer, ["The", "A cat"], settings(num_beams=3, num_return_sequences=2))
    assert [item.prompt for item in found] == ["The", "The", "A cat", "A cat"]
    expected: list[int] = []
    for prompt in ("The", "A cat"):
        ids = tokenizer(prompt, return_tensors="pt")
        sequences = model.generate(
            **ids, num_beams=3, num_return_sequences=2, do_sample=False, max_new_tokens=20, pad_token_id=EOS
        )
        expected += sequences[:, ids["input_ids"].shape[1] :].flatten().tolist()
    assert tokens == expected
    assert whole(model, tokenizer, "The", settings(num_beams=3)) == found[0].text


def test_the_end_of_text_ends_it_and_is_not_shown(tokenizer: Any) -> None:
    model = gpt2()
    with torch.no_grad():  # the end of text is likelier than all else
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
        model.transformer.ln_f.bias.fill_(1.0)
        model.lm_head.weight[EOS] = 50.0
    assert batch(model, tokenizer, ["The"], settings()) == [Continuation("The", "", 0, "eos")]


def test_a_stop_string_ends_the_text_on_both_roads(model: Any, tokenizer: Any) -> None:
    free = whole(model, tokenizer, "The", settings())
    stop = free[4:7]
    expected = free[: free.index(stop)]
    assert whole(model, tokenizer, "The", settings(stop=(stop,))) == expected
    [found] = batch(model, tokenizer, ["The"], settings(stop=(stop,)))
    assert (found.text, found.finish_reason) == (expected, "stop")


def test_the_positions_are_the_limit(model: Any, tokenizer: Any) -> None:
    model.generation_config.eos_token_id = VOCABULARY  # never written
    prompts = ["x" * POSITIONS, "y" * 60, "z"]
    found = batch(model, tokenizer, prompts, settings(max_new_tokens=10))
    assert [item.num_tokens for item in found] == [1, 5, 10]
    assert {item.finish_reason for item in found} == {"length"}
    assert [whole(model, tokenizer, prompt, settings(max_new_tokens=10)) for prompt in prompts] == [
        item.text for item in found
    ]


def test_a_rendered_prompt_is_read_as_it_is(model: Any) -> None:
    tokenizer = byte_tokenizer(adds_bos=True)
    rendered, plain = (
        make_rows(model, tokenizer, [Prompt("<s>a", rendered=rendered)], settings(), 0)[0].prompt_ids
        for rendered in (True, False)
    )
    assert plain == [BOS, *rendered]


def test_a_model_without_a_key_value_cache_is_read_again(tokenizer: Any, tokens: list[int]) -> None:
    torch.manual_seed(0)
    config = MambaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        state_size=4,
        eos_token_id=EOS,
        pad_token_id=0,
    )
    model = MambaForCausalLM(config).eval()
    whole(model, tokenizer, "The", settings(max_new_tokens=6))
    ids = tokenizer("The", return_tensors="pt").input_ids
    assert tokens == model.generate(ids, do_sample=False, max_new_tokens=6)[0, 3:].tolist()


def test_prompts_that_cannot_be(model: Any, tokenizer: Any) -> None:
    with pytest.raises(ConfigError, match=r"^the prompt is empty$"):
        whole(model, tokenizer, "", settings())
    with pytest.raises(ConfigError, match="the prompt: 65 tokens, the model has 64 positions"):
        whole(model, tokenizer, "x" * 65, settings())
    with pytest.raises(ConfigError, match=r"p\.txt:3: 65 tokens"):
        list(generate_batch(model, tokenizer, [Prompt("x" * 65, "p.txt:3")], settings(), seed=0))


def test_another_models_tokenizer_is_refused(tokenizer: Any) -> None:
    with pytest.raises(ModelError, match="the model has 50 embeddings"):
        whole(gpt2(vocab_size=50), tokenizer, "xyz", settings())


@pytest.mark.parametrize("changes", [{}, {"temperature": 1.0}, {"num_beams": 2}])
def test_an_output_that_is_not_a_number(tokenizer: Any, changes: dict[str, Any]) -> None:
    model = llama()
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    with pytest.raises(ModelError, match="the model's output is not a number"):
        whole(model, tokenizer, "The", settings(**changes))


@pytest.mark.parametrize("adds_bos", [False, True])
def test_a_model_that_reads_backwards_writes_what_comes_before(model: Any, adds_bos: bool) -> None:
    tokenizer = byte_tokenizer(adds_bos=adds_bos)
    model.config.reads_backwards = True
    ids = tokenizer("the end", add_special_tokens=False)["input_ids"][::-1]
    start = [BOS] if adds_bos else []
    expected = model.generate(
        torch.tensor([start + ids]), do_sample=False, max_new_tokens=20, pad_token_id=0
    )[0, len(start + ids) :].tolist()
    if EOS in expected:
        expected = expected[: expected.index(EOS)]
    text = tokenizer.decode(expected[::-1], skip_special_tokens=True)
    assert whole(model, tokenizer, "the end", settings()) == text
    assert batch(model, tokenizer, ["the end", "x"], settings())[0].text == text


def test_backwards_a_stop_string_cuts_off_what_stands_before_it(model: Any, tokenizer: Any) -> None:
    model.config.reads_backwards = True
    text = whole(model, tokenizer, "the end", settings())
    stop = text[5:7]
    assert whole(model, tokenizer, "the end", settings(stop=(stop,))) == text[text.rfind(stop) + len(stop) :]
