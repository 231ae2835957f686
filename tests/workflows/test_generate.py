import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from llmctl import models, runs
from llmctl.config import GenerateConfig
from llmctl.errors import ConfigError, DataError, RunError
from llmctl.inference import Prompt, stream
from llmctl.progress import SILENT, Silent
from llmctl.workflows import generate
from tests.data.conftest import jsonl
from tests.objectives.chat_tokenizer import CHATML, chat_tokenizer
from tests.tiny import bert, byte_tokenizer, gpt2


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)

    warn = note


@pytest.fixture
def model_dir(tmp_path: Path) -> str:
    folder = tmp_path / "model"
    gpt2().save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def run(model_dir: str, tmp_path: Path) -> Callable[..., tuple[generate.GenerateResult, str, list[str]]]:
    """Run the workflow; return its result, what it wrote and what it said."""

    def call(**changes: Any) -> tuple[generate.GenerateResult, str, list[str]]:
        written: list[str] = []
        notes = Notes()
        settings = {
            "model": model_dir,
            "runs_dir": str(tmp_path / "runs"),
            "max_new_tokens": 8,
            "temperature": 0.0,
        }
        config = GenerateConfig(**(settings | changes))
        result = generate.run(config, progress=notes, write=written.append)
        return result, "".join(written), notes.said

    return call


def test_a_model_that_answers_does_not_write(tmp_path: Path) -> None:
    from transformers import BertForSequenceClassification

    bert(byte_tokenizer(), BertForSequenceClassification, pad_token_id=0).save_pretrained(tmp_path / "judge")
    with pytest.raises(ConfigError, match="is a BertForSequenceClassification: it cannot predict") as refused:
        generate.check(GenerateConfig(prompt="hi", model=str(tmp_path / "judge")))
    assert "llmctl predict" in str(refused.value.hint)
    run = runs.create(tmp_path / "runs", "judge", recipe="", environment={"command": "finetune"})
    shutil.copytree(tmp_path / "judge", run.model)
    with pytest.raises(
        RunError, match=r"no run in .* can do that; the newest, judge, was made by llmctl finetune"
    ):
        generate.check(GenerateConfig(prompt="hi", runs_dir=str(tmp_path / "runs")))


def test_the_prompt_and_its_text_are_written_as_they_come(run: Callable[..., Any], model_dir: str) -> None:
    result, written, said = run(prompt="The cat")
    loaded = models.load_causal_lm(model_dir, runs_dir=Path("none"))
    config = GenerateConfig(temperature=0.0, max_new_tokens=8)
    expected = "".join(stream(loaded.model, loaded.tokenizer, Prompt("The cat"), config, seed=0))
    assert written == f"The cat{expected}\n"
    assert result.texts == (
        {"prompt": "The cat", "text": expected, "num_tokens": 8, "finish_reason": "length"},
    )
    assert result.seed is None
    assert said == [f"model: {model_dir}", "stopped at --max-new-tokens 8: the text may go on"]


def test_a_drawn_seed_is_told_and_gives_the_same_text_again(run: Callable[..., Any]) -> None:
    result, written, said = run(prompt="The", temperature=1.0)
    assert any(note.startswith(f"seed: {result.seed} ") for note in said)
    again, same, said = run(prompt="The", temperature=1.0, seed=result.seed)
    assert (same, again.seed) == (written, result.seed)
    assert not any(note.startswith("seed") for note in said)


def test_several_texts_are_parted_by_an_empty_line_and_told_apart(run: Callable[..., Any]) -> None:
    result, written, said = run(prompt="The", temperature=1.0, seed=3, num_return_sequences=2)
    first, second = (item["text"] for item in result.texts)
    assert written == f"The{first}\n\nThe{second}\n"
    assert said[1:3] == ["--- 1 of 2", "--- 2 of 2"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_beams": 2},
        {"num_beams": 2, "num_return_sequences": 2},
        {"stop": ("e",)},
        {"max_new_tokens": 1},
    ],
)
def test_texts_are_the_lines_of_an_output_file(
    run: Callable[..., Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    result, _, _ = run(prompt="The", **changes)
    run(prompt="The", output_file=str(tmp_path / "out.jsonl"), **changes)
    lines = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
    assert list(result.texts) == [json.loads(line) for line in lines]
    keys = {"prompt", "text", "num_tokens", "finish_reason"}
    if len(result.texts) > 1:
        keys.add("number")
        assert [text["number"] for text in result.texts] == [1, 2]
    assert all(set(text) == keys for text in result.texts)


def test_texts_that_did_not_end_are_told_once(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("The\n" + "x" * 60)
    _, _, said = run(input_file=str(tmp_path / "p.txt"))
    assert said[1:] == [
        "1 of 2 texts stopped at --max-new-tokens 8: they may go on",
        "1 of 2 texts stopped at the model's last position: they may go on",
    ]
    written = run(prompt="The")[1]
    _, _, said = run(prompt="The", stop=(written[4],))
    assert len(said) == 1


@pytest.mark.parametrize("changes", [{}, {"num_return_sequences": 2}, {"output_file": "out.jsonl"}])
def test_no_seed_is_told_for_a_prompt_that_is_refused(
    model_dir: str, tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notes, written = Notes(), []
    config = GenerateConfig(prompt="x" * 70, model=model_dir, runs_dir=str(tmp_path / "runs"), **changes)
    with pytest.raises(ConfigError, match="70 tokens"):
        generate.run(config, progress=notes, write=written.append)
    assert (notes.said, written) == ([f"model: {model_dir}"], [])


@pytest.mark.parametrize("name", ["prompts.txt", "prompts.jsonl"])
def test_prompts_of_a_file_become_lines_of_a_file(run: Callable[..., Any], tmp_path: Path, name: str) -> None:
    prompts = ["The cat", " a\u2028b", "x"]
    lines = prompts if name.endswith("txt") else [json.dumps({"prompt": prompt}) for prompt in prompts]
    source, output = tmp_path / name, tmp_path / "out.jsonl"
    source.write_bytes(("\ufeff" + lines[0] + "\r\n\n" + lines[1] + "\n" + lines[2] + "\n").encode())
    result, written, said = run(input_file=str(source), output_file=str(output), batch_size=2)
    records = [json.loads(line) for line in output.read_text("utf-8").split("\n")[:-1]]
    assert [record["prompt"] for record in records] == prompts
    for record in records:
        assert run(prompt=record["prompt"])[0].texts[0]["text"] == record["text"]
    assert (result.num_texts, result.texts, written) == (3, (), "")
    assert f"{source}: skipped 1 empty line" in said
    assert [path.name for path in tmp_path.glob(".out*")] == []


def test_without_an_output_file_the_lines_are_written(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("The\nx")
    _, written, _ = run(input_file=str(tmp_path / "p.txt"))
    assert [json.loads(line)["prompt"] for line in written.splitlines()] == ["The", "x"]


def test_a_failure_leaves_no_output_file(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("The\n" + "x" * 70)
    with pytest.raises(ConfigError, match=r"p\.txt:2: 70 tokens, the model has 64 positions"):
        run(input_file=str(tmp_path / "p.txt"), output_file=str(tmp_path / "out.jsonl"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "p.txt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"prompt": "a"}\n{"prompt": }\n', r":2: invalid JSON, column 12"),
        (b'{"text": "a", "id": 1}\n', r":1: no key 'prompt' or 'messages'; found: text, id"),
        (b"[1]\n", r":1: no key 'prompt' or 'messages'; found: list"),
        (b'{"prompt": 5}\n', r":1: 'prompt' is 5, expected a string"),
        (b'{"prompt": ""}\n', r":1: the prompt is empty"),
        (b'{"messages": []}\n', r":1: there is no message to answer"),
        (b'{"messages": [{"role": "assistant", "content": "a"}]}\n', r":1: there is no message to answer"),
        (
            b'{"messages": [{"role": "user", "content": "a"}]}\n',
            r":1: a conversation, but \S+ is no chat model",
        ),
        (b'{"prompt": "caf\xe9"}\n', r":1: byte 0xe9 is not UTF-8"),
        (b"\n", "no prompts"),
    ],
)
def test_bad_lines_are_named(run: Callable[..., Any], tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "p.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        run(input_file=str(tmp_path / "p.jsonl"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "no prompt"),
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": "a", "input_file": "p.txt"}, "both a prompt and an input file"),
        ({"input_file": "none.txt"}, r"no such file: none\.txt"),
        ({"input_file": __file__}, "prompts are read from .txt"),
        ({"prompt": "a", "output_file": __file__}, "output file exists"),
        ({"prompt": "a", "output_file": "nowhere/out.jsonl"}, "no such directory: nowhere"),
        ({"prompt": "a", "num_beams": 2, "num_return_sequences": 3}, "2 beams cannot give 3 texts"),
        ({"prompt": "a", "temperature": 0.0, "num_return_sequences": 2}, "all 2 texts would be the same"),
    ],
)
def test_what_cannot_be_is_refused_before_the_model_is_looked_for(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        generate.check(GenerateConfig(model="./no-such-model", **changes))


def test_no_run_and_no_model_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run in") as caught:
        generate.check(GenerateConfig(prompt="The", runs_dir=str(tmp_path)))
    assert "llmctl pretrain" in (caught.value.hint or "")
    assert "name a model" in (caught.value.hint or "")


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such model directory"):
        generate.run(GenerateConfig(prompt="a", model=str(tmp_path / "x")), progress=SILENT, write=print)


# Chat models


@pytest.fixture
def chat_model(tmp_path: Path) -> Any:
    """A directory with a model whose tokenizer has a chat template."""
    tokenizer = chat_tokenizer(CHATML)
    model = gpt2(vocab_size=len(tokenizer), n_positions=128)
    folder = tmp_path / "chat"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer, str(folder)


def test_a_chat_model_answers_its_user(run: Callable[..., Any], chat_model: Any, tmp_path: Path) -> None:
    model, tokenizer, folder = chat_model
    result, written, said = run(prompt="Hi", model=folder)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], add_generation_prompt=True, return_tensors="pt"
    )
    expected = model.generate(**ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
    (text,) = result.texts
    answer = tokenizer.decode(expected[0, ids["input_ids"].shape[1] :])
    assert text["text"] == answer.rstrip("\ufffd")  # a character cut off is not shown
    assert (text["prompt"], written) == ("Hi", text["text"] + "\n")
    assert "the prompt is given as a user's message (--raw continues plain text)" in said

    _, plain, said = run(prompt="Hi", model=folder, raw=True)
    assert plain.startswith("Hi")
    assert not any("user" in note for note in said)

    talk = [{"role": "user", "content": "Hi"}]
    source = jsonl(tmp_path / "p.jsonl", {"prompt": "Hi"}, {"messages": [{"from": "human", "value": "Hi"}]})
    _, lines, _ = run(input_file=str(source), model=folder)
    first, second = map(json.loads, lines.splitlines())
    assert (first["prompt"], second["prompt"]) == ("Hi", talk)
    assert first["text"] == second["text"] == text["text"]
    with pytest.raises(DataError, match=r"p\.jsonl:2: a conversation, but --raw continues plain text"):
        run(input_file=str(source), model=folder, raw=True)


def test_special_tokens_written_out_in_prompts_are_told(
    run: Callable[..., Any], chat_model: Any, tmp_path: Path
) -> None:
    (tmp_path / "p.txt").write_text("Hi\na<|im_end|>b\n")
    _, _, said = run(input_file=str(tmp_path / "p.txt"), model=chat_model[2])
    assert (
        "in 1 of 2 prompts a special token is written out, and is read as that token "
        f"(first: {tmp_path / 'p.txt'}:2: <|im_end|>)"
    ) in said


def test_an_answer_stops_at_the_end_of_its_turn(run: Callable[..., Any], chat_model: Any) -> None:
    """Though the model's own settings know another end."""
    model, tokenizer, folder = chat_model
    with torch.no_grad():
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
        model.transformer.ln_f.bias.fill_(1.0)
        model.lm_head.weight[tokenizer.convert_tokens_to_ids("<|im_end|>")] = 50.0
    model.config.tie_word_embeddings = False
    model.save_pretrained(folder)
    assert run(prompt="Hi", model=folder)[0].texts[0]["finish_reason"] == "eos"
    assert run(prompt="Hi", model=folder, raw=True)[0].texts[0]["finish_reason"] == "length"


def test_a_run_of_pretrain_continues_text_whatever_its_tokenizer(
    run: Callable[..., Any], chat_model: Any, tmp_path: Path
) -> None:
    place = tmp_path / "runs" / "writer"
    place.mkdir(parents=True)
    Path(chat_model[2]).rename(place / "model")
    (place / "recipe.yaml").write_text("")
    (place / "environment.json").write_text('{"command": "pretrain"}')
    assert run(prompt="Hi", model="writer")[1].startswith("Hi")


def test_a_template_that_refuses_a_prompt(run: Callable[..., Any], chat_model: Any) -> None:
    _, tokenizer, folder = chat_model
    tokenizer.chat_template = "{{ raise_exception('not so') }}"
    tokenizer.save_pretrained(folder)
    with pytest.raises(DataError, match="the prompt: the model's chat template refuses it: not so"):
        run(prompt="Hi", model=folder)
