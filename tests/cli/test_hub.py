"""Data sets and models of the Hub through real processes, from a stand-in for it on this machine."""

import io
import json
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmctl.data.builtin import stories
from llmctl.runs import RunDir
from tests.cli.conftest import Run, in_forks
from tests.loopback_hub import EXPIRED_TOKEN, LoopbackHub
from tests.soak.forks import Forks
from tests.verdicts import verdicts

CARD = """---
configs:
- config_name: stories
  data_files:
  - {split: train, path: stories/train-*}
  - {split: validation, path: stories/validation-*}
- config_name: rhymes
  data_files:
  - {split: train, path: rhymes/train-*}
---
# A corpus
"""
GLUE_CARD = """---
configs:
- config_name: sst2
  data_files:
  - {split: train, path: sst2/train-*}
  - {split: validation, path: sst2/validation-*}
  - {split: test, path: sst2/test-*}
---
# GLUE
"""
SMALL = [
    *("--vocab-size", "300", "--block-size", "32", "--hidden-size", "16", "--num-hidden-layers", "1"),
    *("--num-attention-heads", "2", "--per-device-train-batch-size", "4", "--max-steps", "2"),
]


def parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


@pytest.fixture
def data_hub(loopback_hub: LoopbackHub) -> LoopbackHub:
    """``acme/corpus`` with the subsets stories and rhymes, ``acme/lines``, and ``acme/secret``, which is gated."""
    rows = [{"text": text} for text in stories(30)]
    loopback_hub.repository(
        "datasets",
        "acme/corpus",
        {
            "README.md": CARD,
            "stories/train-00000-of-00001.parquet": parquet(rows[:25]),
            "stories/validation-00000-of-00001.parquet": parquet(rows[25:]),
            "rhymes/train-00000-of-00001.parquet": parquet(rows[:5]),
        },
    )
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    loopback_hub.repository("datasets", "acme/lines", {"train.jsonl": lines})
    loopback_hub.repository("datasets", "acme/secret", {".gated": "", "train.jsonl": lines})
    return loopback_hub


@pytest.fixture
def model_hub(data_hub: LoopbackHub) -> LoopbackHub:
    """``acme/tiny``; without tokenizer ``acme/bare``; with pickled weights ``acme/pickled``; gated ``acme/secret``."""
    import torch

    from tests.tiny import byte_tokenizer, gpt2

    model = gpt2(n_layer=1, n_embd=16)
    for name in ("tiny", "bare", "secret"):
        model.save_pretrained(data_hub.repository("models", f"acme/{name}"))
    data_hub.repository("models", "acme/secret", {".gated": ""})
    pickled = data_hub.repository("models", "acme/pickled")
    model.config.save_pretrained(pickled)
    torch.save(model.state_dict(), pickled / "pytorch_model.bin")
    for name in ("tiny", "pickled"):
        byte_tokenizer().save_pretrained(data_hub.repository("models", f"acme/{name}"))
    return data_hub


@pytest.fixture
def at_hub(data_hub: LoopbackHub, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Run]:
    """As ``forked``, from a process that knows ``data_hub`` and has nothing in its cache."""
    served = Forks(tmp_path_factory.mktemp("forks"), environment=data_hub.environment(tmp_path / "hf"))
    yield in_forks(served, tmp_path)
    served.close()


def refused(run: Run, *arguments: str, code: int, message: str, hint: str, **env: str) -> None:
    """Run and expect two lines, and nothing on standard output."""
    found = run(*arguments, **env)
    assert found.returncode == code, found.stderr
    assert found.stdout == ""
    error, told = found.stderr.splitlines()[-2:]
    assert error == f"error: {message}"
    assert told.startswith(" hint: ")
    assert hint in told
    assert "Traceback" not in found.stderr


@pytest.mark.slow
def test_a_data_set_is_learnt_from_and_kept(at_hub: Run, data_hub: LoopbackHub, tmp_path: Path) -> None:
    trained = at_hub("pretrain", "--data", "acme/corpus:stories", *SMALL, "--run-name", "one", "--json")
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["steps"] == 2
    assert "acme/corpus:stories (train): 25 documents" in trained.stderr
    assert "acme/corpus:stories (validation): 5 documents" in trained.stderr
    assert "examples/s" not in trained.stderr, "a bar in a pipe"
    assert not [asked for asked in data_hub.requests if "rhymes/train-" in asked], "not asked for"

    data_hub.stop()
    judged = at_hub("eval", "one", "--json")
    assert judged.returncode == 0, judged.stderr
    scores = json.loads(judged.stdout)
    assert (scores["n"], scores["data"]) == (5, "acme/corpus:stories (validation)")
    assert "has changed" not in judged.stderr
    cached = f"acme/corpus: the Hub does not answer: using the copy in the cache, of {date.today()}"
    assert (cached in judged.stderr, cached in trained.stderr) == (True, False)

    refused(
        *(at_hub, "pretrain", "--data", "acme/corpus:rhymes"), code=1,
        message="offline and not in the cache: acme/corpus:rhymes",
        hint="the cache has acme/corpus:stories",
    )  # fmt: skip
    refused(
        *(at_hub, "pretrain", "--data", "acme/corpus"), code=2,
        message="acme/corpus: has several subsets",
        hint="acme/corpus:stories, acme/corpus:rhymes",
    )  # fmt: skip
    refused(
        *(at_hub, "pretrain", "--data", "acme/lines"), code=1,
        message="offline and not in the cache: acme/lines",
        hint="builtin:stories",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "token", "code", "message", "hint"),
    [
        ("acme/none", "", 2, "no such file and no such Hub data set: acme/none", "HF_TOKEN"),
        ("acme/none", "hf_mine", 2, "no such file and no such Hub data set: acme/none", "check the spelling"),
        ("acme/secret", "", 1, "gated: acme/secret", "/datasets/acme/secret, then set HF_TOKEN"),
        ("acme/secret", "hf_mine", 1, "gated: acme/secret", "/datasets/acme/secret, then set HF_TOKEN"),
        ("acme/corpus:verse", "", 2, "acme/corpus: no subset 'verse'", "choose one: acme/corpus:stories"),
        ("acme/corpus", "", 2, "acme/corpus: has several subsets", "acme/corpus:stories, acme/corpus:rhymes"),
        (
            *("acme/lines", EXPIRED_TOKEN, 1),
            "acme/lines: the Hub answers 401: Invalid credentials in Authorization header",
            "HF_TOKEN may have expired",
        ),
    ],
)
def test_a_data_set_that_cannot_be_had(
    data: str, token: str, code: int, message: str, hint: str,
    llmctl: Run, data_hub: LoopbackHub, tmp_path: Path,
) -> None:  # fmt: skip
    env = {**data_hub.environment(tmp_path / "hf"), "HF_TOKEN": token}
    refused(llmctl, "pretrain", "--data", data, code=code, message=message, hint=hint, **env)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_model_is_judged_and_writes_also_without_the_hub(
    at_hub: Run, model_hub: LoopbackHub, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("A fox sat.\n\nA cat ran.\n")
    judged = at_hub("eval", "acme/tiny", "--data", "text.txt", "--sample-by", "paragraph", "--json")
    assert judged.returncode == 0, judged.stderr
    scores = json.loads(judged.stdout)
    assert (scores["model"], scores["n"]) == ("acme/tiny", 2)
    assert scores["perplexity"]["value"] > 1

    write = ("generate", "hi", "--model", "acme/tiny", "--temperature", "0", "--max-new-tokens", "4")
    began = time.monotonic()
    first = at_hub(*write)
    online = time.monotonic() - began
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("hi")
    weights = [asked for asked in model_hub.requests if asked.startswith("GET") and "safetensors" in asked]
    assert len(weights) == 1, "the weights were fetched once"

    model_hub.stop()
    began = time.monotonic()
    again = at_hub(*write)
    assert (again.returncode, again.stdout) == (0, first.stdout), again.stderr
    assert time.monotonic() - began < 2 * online + 10, "it waits for a Hub that is not there"


@pytest.mark.slow
def test_a_model_that_cannot_be_had(at_hub: Run, model_hub: LoopbackHub, tmp_path: Path) -> None:
    for model, message, hint in [
        ("acme/none", "no such model on the Hub: acme/none", "HF_TOKEN"),
        ("acme/secret", "gated: acme/secret", f"{model_hub.url}/acme/secret, then set HF_TOKEN"),
        ("acme/bare", "no tokenizer in acme/bare", "tokenizer.json"),
        (
            "acme/pickled",
            "no model in acme/pickled: no config.json with a model_type, or no weights as .safetensors",
            "pickled weights (.bin) can run code",
        ),
    ]:
        refused(at_hub, "generate", "hi", "--model", model, code=1, message=message, hint=hint)
    model_hub.stop()
    refused(
        *(at_hub, "generate", "hi", "--model", "acme/tiny"), code=1,
        message="offline and not in the cache: acme/tiny", hint="builtin:smollm2",
    )  # fmt: skip


@pytest.fixture
def glue_hub(loopback_hub: LoopbackHub) -> LoopbackHub:
    """``nyu-mll/glue`` with ``sst2``, its test split unlabelled, and a tiny ``distilbert/distilbert-base-uncased``."""
    from datasets import ClassLabel, Dataset, Features, Value
    from transformers import DistilBertConfig, DistilBertModel

    from tests.tiny import word_tokenizer

    features = Features(
        {
            "sentence": Value("string"),
            "label": ClassLabel(names=["negative", "positive"]),
            "idx": Value("int32"),
        }
    )
    folder = loopback_hub.repository("datasets", "nyu-mll/glue", {"README.md": GLUE_CARD})
    texts = verdicts()
    for split, begin, end in (("train", 24, 120), ("validation", 0, 12), ("test", 12, 24)):
        part = texts[begin:end]
        labels = [-1 if split == "test" else int(label == "pos") for _, label in part]
        columns = {"sentence": [text for text, _ in part], "label": labels, "idx": list(range(len(part)))}
        place = folder / "sst2" / f"{split}-00000-of-00001.parquet"
        place.parent.mkdir(exist_ok=True)
        Dataset.from_dict(columns, features=features).to_parquet(place)
    model = loopback_hub.repository("models", "distilbert/distilbert-base-uncased")
    tokenizer = word_tokenizer({word for text, _ in texts for word in text.split()})
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(model)
    DistilBertModel(
        DistilBertConfig(
            vocab_size=len(tokenizer),
            dim=32,
            hidden_dim=64,
            n_layers=1,
            n_heads=2,
            max_position_embeddings=64,
        )
    ).save_pretrained(model)
    return loopback_hub


@pytest.mark.slow
def test_a_task_needs_nothing_but_its_name(llmctl: Run, glue_hub: LoopbackHub, tmp_path: Path) -> None:
    env = glue_hub.environment(tmp_path / "hf") | {"OMP_NUM_THREADS": "1"}
    trained = llmctl("finetune", "--task", "sst2", "--run-name", "one", **env)
    assert trained.returncode == 0, trained.stderr
    assert (
        "nyu-mll/glue:sst2 (train): 96 examples: negative 48 (50.0%), positive 48 (50.0%)" in trained.stderr
    )
    assert "nyu-mll/glue:sst2 (validation): 12 examples" in trained.stderr
    assert "accuracy" in trained.stdout
    recipe = (tmp_path / "runs/one/recipe.yaml").read_text()
    assert "model: distilbert/distilbert-base-uncased\n" in recipe
    assert "learning_rate: 5.0e-05\n" in recipe

    refused(
        *(llmctl, "eval", "one", "--split", "test"), code=1, **env,
        message="nyu-mll/glue:sst2 (test): unlabelled",
        hint="llmctl predict",
    )  # fmt: skip
    untrained = llmctl("eval", "distilbert/distilbert-base-uncased", "--task", "sst2", **env)
    assert untrained.returncode == 1
    assert "has no trained head" in untrained.stderr


@pytest.mark.slow
def test_text_is_streamed_from_the_hub_without_a_copy(
    llmctl: Run, data_hub: LoopbackHub, tmp_path: Path
) -> None:
    """Two shards, and a validation split of its own; what is fetched is kept nowhere; two processes see the same."""
    home = tmp_path / "home"
    environment = data_hub.environment(home)
    arguments = ("pretrain", "--data", "acme/corpus:stories", "--streaming", "--buffer-size", "8", *SMALL)
    arguments += ("--logging-steps", "1")
    result = llmctl(*arguments, "--run-name", "streamed", "--json", **environment)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["train_tokens"] > 0
    assert "a stream of acme/corpus:stories (train)" in result.stderr
    assert not list(home.rglob("*.arrow")), "no table was made"
    half = ["2" if word == "4" else word for word in arguments]  # of the batch
    together = ("--run-name", "together", "--num-processes", "2")
    result = llmctl(*half, *together, OMP_NUM_THREADS="1", **environment)
    assert result.returncode == 0, result.stderr
    alone, shared = (
        [event["loss"] for event in RunDir(tmp_path / "runs" / name).events() if "loss" in event]
        for name in ("streamed", "together")
    )
    assert shared == pytest.approx(alone, rel=1e-5)
    refused = llmctl("pretrain", "--data", "acme/corpus:stories", "--streaming", **environment)
    assert refused.returncode == 2
    assert "how much text acme/corpus:stories has is not known" in refused.stderr
    assert "--max-steps N, or --max-tokens N" in refused.stderr
