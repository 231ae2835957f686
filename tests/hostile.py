"""Artefacts that a stranger could hand over, made by code; each carries a canary that must not fire.

The canary is a file: whoever runs the code of an artefact makes it. Its path is also what links and names lead to.
"""

import base64
import gzip
import json
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from llmctl import manifest
from tests.tiny import bert, byte_tokenizer, gpt2, word_tokenizer

CANARY = "CANARY"
SECRET = "the-secret-of-another-folder"
OSC = "\x1b]52;c;Y2FuYXJ5\x07"
NASTY = f"{OSC}[/red][link=https://evil.example]x[/link]\u202e\x9b31m\x85../../{CANARY}"
EVAL = "eval {} --data text.txt --max-length 16"
GENERATE = "generate a --model {} --max-new-tokens 2 --seed 1"
EXPORT = "export {} --output-dir out"
PRETRAIN = "pretrain --model {} --data text.txt --max-steps 1 --block-size 16 --run-name r"
FINETUNE = "finetune --task classification --data reviews.csv --model {} --num-train-epochs 1 --run-name r"


class Payload:
    """What runs when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.canary}",)


@dataclass(frozen=True)
class Artefact:
    """Something hostile, in a folder of its own beside ``text.txt`` and ``reviews.csv``.

    Attributes:
        make: puts it there; told the folder.
        commands: that could touch it; ``{}`` is ``model``.
        told: must stand in the message of each; ``None``: it is harmless, and the commands succeed.
    """

    make: Callable[[Path], object]
    commands: tuple[str, ...]
    told: str | None = None


def model(folder: Path, **changes: Any) -> Path:
    """A tiny GPT-2 with its tokenizer; ``changes`` are made to its config.json."""
    place = folder / "model"
    gpt2().save_pretrained(place)
    byte_tokenizer().save_pretrained(place)
    edit(place / "config.json", **changes)
    return place


def classifier(folder: Path, **changes: Any) -> Path:
    place = folder / "model"
    tokenizer = word_tokenizer(["good", "bad", "film"])
    bert(tokenizer).save_pretrained(place)
    tokenizer.save_pretrained(place)
    edit(place / "config.json", **changes)
    return place


def edit(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def pickled(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(pickle.dumps(Payload(folder.parent / CANARY)))


def code(folder: Path, *names: str) -> None:
    """Modules that fire when they are imported."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(
            f"open({str(folder.parent / CANARY)!r}, 'w')\nclass Evil: ...\ngenerate = Evil\n"
        )


def secret(folder: Path) -> Path:
    path = folder / "elsewhere" / "secret.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(SECRET)
    return path


# Code and pickles


def only_pickle(folder: Path) -> None:
    place = model(folder)
    (place / "model.safetensors").unlink()
    pickled(place, "pytorch_model.bin")


def pickles_beside(folder: Path) -> None:
    pickled(
        model(folder), "pytorch_model.bin", "training_args.bin", "optimizer.pt", "rng_state.pth", "vocab.pkl"
    )


def adapter(folder: Path, **settings: Any) -> Path:
    """A LoRA of the model in ``base``, without weights."""
    (folder / "base").mkdir()
    base = model(folder / "base")
    place = folder / "model"
    place.mkdir()
    found = {"peft_type": "LORA", "base_model_name_or_path": str(base), "r": 2, "target_modules": ["c_attn"]}
    (place / "adapter_config.json").write_text(json.dumps(found | settings))
    byte_tokenizer().save_pretrained(place)
    return place


def adapter_pickle(folder: Path) -> None:
    pickled(adapter(folder), "adapter_model.bin")


def adapter_of(folder: Path, **settings: Any) -> None:
    import torch

    save_file({"x": torch.zeros(1)}, adapter(folder, **settings) / "adapter_model.safetensors")


def adapter_module(folder: Path) -> None:
    code(folder / "elsewhere", "../evil_core.py")
    adapter_of(folder, megatron_config={"a": 1}, megatron_core="evil_core")


def own_code(folder: Path, model_type: str) -> None:
    mapping = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil", "AutoModel": "evil.Evil"}
    code(model(folder, model_type=model_type, auto_map=mapping), "evil.py")


def own_tokenizer(folder: Path) -> None:
    place = model(folder)
    edit(
        place / "tokenizer_config.json",
        auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]},
        tokenizer_class="Evil",
    )
    code(place, "evil.py")


def data_script(folder: Path) -> None:
    code(folder / "evil", "evil.py")
    (folder / "evil" / "train.txt").write_text("some text\n" * 40)


def checkpoint(folder: Path) -> None:
    """A run to go on with whose checkpoint holds a pickle, sealed as our own are."""
    run = folder / "runs" / "r"
    place = run / "checkpoints" / "checkpoint-1"
    place.mkdir(parents=True)
    tokenizer = byte_tokenizer()
    gpt2(n_positions=16, tie_word_embeddings=True).save_pretrained(place)
    tokenizer.save_pretrained(run / "tokenizer")
    (run / "recipe.yaml").write_text("data: text.txt\nmax_steps: 2\nblock_size: 16\nhidden_size: 32\n"
                                     "num_hidden_layers: 2\nnum_attention_heads: 2\narchitecture: gpt2\n")  # fmt: skip
    (run / "environment.json").write_text(json.dumps({"command": "pretrain", "data": {"../../x": {}}}))
    (run / "metrics.jsonl").write_text("")
    state = {
        "global_step": 1,
        "epoch": 0.1,
        "train_batch_size": 6,
        "logging_steps": 10,
        "save_steps": 10,
        "max_steps": 2,
        "log_history": [],
        "best_model_checkpoint": "../../x",
    }
    (place / "trainer_state.json").write_text(json.dumps(state))
    (place / "llmctl_state.json").write_text(
        json.dumps({"loss": 0.0, "total_loss": 0.0, "logged_step": 0, "clipped": [], "evaluated": True})
    )
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        (place / name).write_bytes(pickle.dumps(Payload(folder / CANARY)))
    (place / "recipe.yaml").write_text((run / "recipe.yaml").read_text())
    of_run = {
        "metrics": manifest.digest(run / "metrics.jsonl", 0),
        "tokenizer": manifest.digest(run / "tokenizer"),
    }
    manifest.seal(place, step=1, world_size=1, versions={}, metrics_bytes=0, **of_run)


# Paths


def shards(folder: Path, name: str) -> None:
    import torch

    place = model(folder)
    (place / "model.safetensors").unlink()
    save_file({"x": torch.zeros(1)}, folder / "outside.safetensors")
    save_file({"y": torch.zeros(1)}, place / "model-1.safetensors")
    weights = {"x": name.format(folder), "y": "model-1.safetensors"}
    (place / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}))


def link(folder: Path, name: str) -> None:
    place = model(folder)
    kept = folder / "elsewhere"
    kept.mkdir()
    (place / name).rename(kept / name)
    (place / name).symlink_to(kept / name)


def vocabulary_elsewhere(folder: Path) -> None:
    place = classifier(folder)
    (place / "tokenizer.json").unlink()
    edit(place / "tokenizer_config.json", tokenizer_class="BertTokenizer", vocab_file=str(secret(folder)))


def template_names(folder: Path) -> None:
    named = [{"name": "default", "template": "x"}, {"name": f"../../../{CANARY}", "template": "x"}]
    place = model(folder)
    (place / "chat_template.jinja").unlink(missing_ok=True)
    edit(place / "tokenizer_config.json", chat_template=named)


# Bombs


def template(folder: Path, source: str) -> None:
    (model(folder) / "chat_template.jinja").write_text(source.replace("CANARY", str(folder / CANARY)))


def tokenizer(folder: Path, **changes: Any) -> None:
    edit(model(folder) / "tokenizer.json", **changes)


def large_tokenizer(folder: Path) -> None:
    with (model(folder) / "tokenizer.json").open("r+b") as file:
        file.truncate(2 << 30)


def far_token(folder: Path) -> None:
    place = model(folder)
    found = json.loads((place / "tokenizer.json").read_text())
    found["added_tokens"].append({**found["added_tokens"][-1], "id": 4_000_000_000, "content": "<far>"})
    found["model"]["vocab"]["<far>"] = 4_000_000_000
    (place / "tokenizer.json").write_text(json.dumps(found))


def safetensors_header(folder: Path) -> None:
    (model(folder) / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")


def gguf(folder: Path) -> None:
    """A header of as many tensors and keys as a number can say."""
    (folder / "model").mkdir()
    (folder / "model" / "model.gguf").write_bytes(
        b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60) + bytes(64)
    )


def gzip_bomb(folder: Path) -> None:
    with gzip.open(folder / "bomb.jsonl.gz", "wb", compresslevel=1) as file:
        file.write(b'{"text": "')
        for _ in range(300):
            file.write(b"a" * (1 << 20))


def open_quote(folder: Path) -> None:
    with (folder / "bomb.csv").open("wb") as file:
        file.write(b'text,label\n"')
        for _ in range(200):
            file.write(b"a b c d\n" * (1 << 17))


def recipe(folder: Path, text: str) -> None:
    (folder / "r.yaml").write_text(text.replace("CANARY", str(folder / CANARY)))


# What is shown


def nasty_labels(folder: Path) -> None:
    classifier(folder)
    (folder / "reviews.csv").write_text(
        "text,label\n" + "".join(f'good film {n},"{NASTY}{n % 2}"\n' for n in range(40)), encoding="utf-8"
    )


def nasty_config(folder: Path) -> None:
    names = {"0": NASTY, "1": "good"}
    classifier(folder, id2label=names, label2id={value: int(key) for key, value in names.items()})


def nasty_file(folder: Path) -> None:
    (folder / f"a{NASTY.replace('/', '').replace(CANARY, '')}.txt").write_text("a\0b")


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)
LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
ESCAPE = "{{ cycler.__init__.__globals__.os.system('touch CANARY') }}"

PADDING = {
    "strategy": {"Fixed": 10**9},
    "direction": "Right",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "a",
}

ARTEFACTS: dict[str, Artefact] = {
    "only a pickle": Artefact(only_pickle, (EVAL, GENERATE, EXPORT, PRETRAIN), "a pickle can run code"),
    "pickles beside": Artefact(pickles_beside, (EVAL, GENERATE)),
    "adapter pickle": Artefact(adapter_pickle, (GENERATE, EXPORT), "holds no adapter_model.safetensors"),
    "adapter module": Artefact(adapter_module, (GENERATE, EXPORT), ""),
    "adapter of itself": Artefact(
        lambda folder: adapter_of(folder, base_model_name_or_path=str(folder / "model")),
        (GENERATE,),
        "an adapter itself",
    ),
    "adapter rank": Artefact(lambda folder: adapter_of(folder, r=10**9), (GENERATE,), "r 1,000,000,000"),
    "adapter method": Artefact(
        lambda folder: adapter_of(folder, peft_type="XLORA"), (GENERATE,), "'XLORA' is no method"
    ),
    "code of an unknown family": Artefact(
        lambda folder: own_code(folder, "evil"),
        (EVAL, GENERATE, EXPORT, PRETRAIN, FINETUNE),
        "code of its own",
    ),
    "code of a known family": Artefact(lambda folder: own_code(folder, "gpt2"), (EVAL, GENERATE)),
    "code of a tokenizer": Artefact(own_tokenizer, (GENERATE, "tokenizer inspect {} --data text.txt")),
    "generate.py": Artefact(lambda folder: code(model(folder), "custom_generate/generate.py"), (GENERATE,)),
    "kernel of the Hub": Artefact(
        lambda folder: model(folder, attn_implementation="evil/kernel"),
        (EVAL, PRETRAIN),
        "would load code from the Hub",
    ),
    "kernel of the Hub, inner": Artefact(
        lambda folder: model(folder, _attn_implementation="evil/kernel"),
        (EVAL,),
        "would load code from the Hub",
    ),
    "script of data": Artefact(
        data_script,
        ("pretrain --data evil --max-steps 1 --dry-run", "tokenizer train --data evil --vocab-size 300"),
    ),
    "metric of the Hub": Artefact(
        lambda folder: None, ("eval x/y --task sst2 --metric evil/metric",), "evil/metric"
    ),
    "checkpoint pickles": Artefact(
        checkpoint, ("pretrain --resume r --allow-changes data",), "more than numbers"
    ),
    "shard above": Artefact(
        lambda folder: shards(folder, "../outside.safetensors"), (EVAL, PRETRAIN), "outside"
    ),
    "shard by its full path": Artefact(
        lambda folder: shards(folder, "{}/outside.safetensors"), (EVAL,), "outside"
    ),
    "link to weights": Artefact(
        lambda folder: link(folder, "model.safetensors"), (EVAL, EXPORT), "is a link to"
    ),
    "link to a tokenizer": Artefact(
        lambda folder: link(folder, "tokenizer.json"), (GENERATE,), "is a link to"
    ),
    "vocabulary elsewhere": Artefact(vocabulary_elsewhere, (EXPORT,), ""),
    "templates with paths": Artefact(template_names, (EXPORT, GENERATE), "which is no file name"),
    "template without end": Artefact(
        lambda folder: template(folder, LOOP), (GENERATE,), "takes longer than 5 s"
    ),
    "template of memory": Artefact(
        lambda folder: template(folder, "{{ 'x' * 10 ** 10 }}"), (GENERATE,), "takes more than 512 MiB"
    ),
    "template of code": Artefact(lambda folder: template(folder, ESCAPE), (GENERATE,), "unsafe"),
    "template of files": Artefact(
        lambda folder: template(folder, f"{{% include '{secret(folder)}' %}}"), (GENERATE,), ""
    ),
    "vocabulary of 1e9": Artefact(
        lambda folder: model(folder, vocab_size=10**9), (EVAL, PRETRAIN), "parameters"
    ),
    "1e6 layers": Artefact(
        lambda folder: model(folder, n_layer=10**6), (EVAL, PRETRAIN), "n_layer 1,000,000"
    ),
    "1e12 positions": Artefact(lambda folder: model(folder, n_positions=10**12), (EVAL,), "parameters"),
    "1e9 labels": Artefact(
        lambda folder: classifier(folder, num_labels=10**9), (FINETUNE,), "num_labels 1,000,000,000"
    ),
    "tokenizer of 2 GB": Artefact(
        large_tokenizer, (GENERATE, "tokenizer inspect {} --data text.txt"), "2,147,483,648 bytes"
    ),
    "token 4e9": Artefact(far_token, (GENERATE, PRETRAIN), "the id 4,000,000,000"),
    "tokenizer that panics": Artefact(
        lambda folder: tokenizer(
            folder,
            normalizer={
                "type": "Precompiled",
                "precompiled_charsmap": base64.b64encode(b"\xff" * 4).decode(),
            },
        ),
        (GENERATE,),
        "model/tokenizer.json cannot be read",
    ),
    "padding of 1e9": Artefact(lambda folder: tokenizer(folder, padding=PADDING), (GENERATE, EVAL)),
    "header of 2^60 bytes": Artefact(safetensors_header, (EVAL,), "model.safetensors cannot be read"),
    "GGUF of 2^60 keys": Artefact(gguf, (GENERATE.replace("{}", "model/model.gguf"),), ""),
    "line without end": Artefact(
        gzip_bomb, ("pretrain --data bomb.jsonl.gz",), "bomb.jsonl.gz:1: a line of more than"
    ),
    "quotation without end": Artefact(
        open_quote, ("pretrain --data bomb.csv",), "bomb.csv:2: field larger than"
    ),
    "billion laughs": Artefact(
        lambda folder: recipe(folder, LAUGHS), ("pretrain --recipe r.yaml",), "r.yaml:1: YAML anchors"
    ),
    "YAML of code": Artefact(
        lambda folder: recipe(folder, "data: !!python/object/apply:os.system ['touch CANARY']\n"),
        ("pretrain --recipe r.yaml",),
        "r.yaml:1: YAML tags",
    ),
    "YAML of 100 MB": Artefact(
        lambda folder: recipe(folder, "data: x\n" * (100 << 17)),
        ("pretrain --recipe r.yaml",),
        "r.yaml: 104,857,600 bytes",
    ),
    "YAML nested": Artefact(
        lambda folder: recipe(folder, "data: " + "[" * 90_000), ("pretrain --recipe r.yaml",), "r.yaml"
    ),
    "labels of escapes": Artefact(
        nasty_labels,
        (f"{FINETUNE} --keep-checkpoints --eval-steps 1", f"{FINETUNE} --json".replace("name r", "name s")),
    ),
    "config of escapes": Artefact(
        nasty_config, ("predict film --model {}", "predict film --model {} --json")
    ),
    "file name of escapes": Artefact(nasty_file, ("tokenizer train --data *.txt --vocab-size 300",), "NUL"),
}
