"""Greedy generation: `model.generate` against ours, on the same model and prompts; both give the same tokens.

GPT-2 shape of 6 layers x 384, random weights, 32 + 128 tokens, one thread, median of three in turns.
"""

import statistics
import time
from types import SimpleNamespace

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from llmctl.config import GenerateConfig
from llmctl.inference import Prompt, generate_batch

PROMPT_TOKENS, NEW_TOKENS, VOCABULARY, REPEATS = 32, 128, 8192, 3


class Numbers:
    """A tokenizer whose words are the ids themselves."""

    eos_token_id = None

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [int(word) for word in text.split()]}

    def decode(self, ids: list[int], **_: object) -> str:
        return "".join(f" {number}" for number in ids)


def measure(model: GPT2LMHeadModel, batch: int) -> tuple[float, float]:
    """Tokens a second of `generate` and of ours."""
    ids = torch.randint(0, VOCABULARY, (batch, PROMPT_TOKENS))
    prompts = [Prompt(" ".join(map(str, row))) for row in ids.tolist()]
    settings = GenerateConfig(max_new_tokens=NEW_TOKENS, temperature=0.0, batch_size=batch)
    times = SimpleNamespace(plain=[], ours=[])
    for _ in range(REPEATS):
        began = time.perf_counter()
        expected = model.generate(ids, do_sample=False, max_new_tokens=NEW_TOKENS, pad_token_id=0)
        times.plain.append(time.perf_counter() - began)
        began = time.perf_counter()
        found = list(generate_batch(model, Numbers(), prompts, settings, seed=0))
        times.ours.append(time.perf_counter() - began)
        written = [[int(word) for word in item.text.split()] for item in found]
        assert written == expected[:, PROMPT_TOKENS:].tolist()
    count = batch * NEW_TOKENS
    return count / statistics.median(times.plain), count / statistics.median(times.ours)


def main() -> str:
    """Markdown: tokens a second, for single prompts and batches of 8."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=6, n_embd=384, n_head=6, vocab_size=VOCABULARY, bos_token_id=None, eos_token_id=None
    )
    model = GPT2LMHeadModel(config).eval()
    lines = ["| batch | generate, tok/s | ours, tok/s | gain |", "|---|---|---|---|"]
    for batch in (1, 8):
        plain, ours = measure(model, batch)
        lines.append(f"| {batch} | {plain:,.0f} | {ours:,.0f} | {ours / plain:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
