"""Conversations: what is learnt of them, the loss of the stock models, rows that do not see each other."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, PreTrainedTokenizerFast

from llmctl import architectures, models
from llmctl.config import FinetuneConfig, ModelShape
from llmctl.config.data import TaskData
from llmctl.data.examples import Examples, load_examples
from llmctl.errors import ConfigError, DataError, ModelError
from llmctl.objectives import chat as chat_module
from llmctl.objectives.chat import Chat
from llmctl.objectives.conversations import ConversationFeatures
from llmctl.objectives.packing import PackedRows, check_packing
from llmctl.objectives.task import IGNORED
from llmctl.progress import SILENT
from llmctl.tasks import find_task
from tests.data.conftest import Told
from tests.objectives.chat_tokenizer import CHATML, chat_tokenizer

Messages = list[dict[str, str]]


def said(*contents: str, system: str | None = None) -> Messages:
    """A conversation that the user begins."""
    messages = [{"role": "system", "content": system}] if system is not None else []
    return messages + [
        {"role": ("user", "assistant")[place % 2], "content": content}
        for place, content in enumerate(contents)
    ]


CHATS = [
    said("Hi", "Hello there!"),
    said("1+1?", "2", "and 2+2?", "4, of course", system="Be brief."),
    said("What is your name, if I may ask?", "Käthe"),
    said("Bye", "Bye!"),
]


def examples(chats: list[Messages] | None = None) -> Examples:
    rows = CHATS if chats is None else chats
    table = pa.table({"messages": rows, "line": list(range(1, len(rows) + 1))})
    return Examples("train.jsonl", table, None, "", (), True, (("train.jsonl", False),))


def objective(tokenizer: Any = None, **settings: Any) -> Chat:
    tokenizer = tokenizer or chat_tokenizer(CHATML)
    config = FinetuneConfig(task="chat", **{"max_length": 128} | settings)
    return Chat.for_training(find_task("chat"), config, tokenizer, {"train": examples()})


def encode(learner: Chat, chats: list[Messages] | None = None, told: Any = SILENT) -> ConversationFeatures:
    return learner.encode(examples(chats), progress=told)


def new_model(architecture: str = "llama", **shape: Any) -> Any:
    torch.manual_seed(0)
    tokenizer = chat_tokenizer(CHATML)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "dropout": 0.0} | shape
    config = architectures.new_config(
        ModelShape(architecture=architecture, **sizes),
        tokenizer,
        vocab_size=len(tokenizer),
        block_size=256,
    )
    return AutoModelForCausalLM.from_config(config)


def batch_of(learner: Chat, rows: Any = (0, 1, 2, 3)) -> dict[str, torch.Tensor]:
    features = encode(learner)
    return learner.collate([features[index] for index in rows])


def learnt_text(learner: Chat, row: dict[str, torch.Tensor]) -> str:
    return learner.tokenizer.decode(row["labels"][row["labels"] != IGNORED])


def test_only_the_assistants_turns_and_what_ends_them_are_learnt() -> None:
    learner = objective()
    features = encode(learner)
    assert learnt_text(learner, features[0]) == "Hello there!<|im_end|>"
    assert learnt_text(learner, features[1]) == "2<|im_end|>4, of course<|im_end|>"
    assert learnt_text(learner, features[2]) == "Käthe<|im_end|>"
    assert features.num_learnt.tolist() == [13, 15, 7, 5]  # a token a byte
    for index, messages in enumerate(CHATS):
        expected = learner.tokenizer.apply_chat_template(messages)["input_ids"]
        assert features[index]["input_ids"].tolist() == expected, "as plain Hugging Face writes it"


def test_what_is_predicted_is_what_the_model_will_be_prompted_for() -> None:
    learner = objective()
    row = encode(learner)[1]
    prompt = learner.tokenizer.apply_chat_template(CHATS[1][:2], add_generation_prompt=True)["input_ids"]
    first = int(np.flatnonzero(row["labels"] != IGNORED)[0])
    assert row["input_ids"][: first + 1].tolist() == prompt


def test_padding_is_hidden_by_the_mask_so_that_the_end_is_learnt_where_it_pads_too() -> None:
    tokenizer = chat_tokenizer(CHATML, eos="<|im_end|>")
    assert tokenizer.pad_token_id is None
    learner = objective(tokenizer)
    batch = batch_of(learner, [0, 3])
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert batch["input_ids"][1, -1] == end, "padded with what ends a text"
    assert (
        batch["attention_mask"][1].sum() == len(encode(learner)[3]["input_ids"]) < batch["input_ids"].shape[1]
    )
    assert (batch["labels"][1] == end).sum() == 1
    assert batch["labels"] is batch["shift_labels"]


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bloom", "gpt_neox"])
def test_the_loss_is_the_stock_models_own(architecture: str) -> None:
    model, learner = new_model(architecture).eval(), objective()
    batch = batch_of(learner)
    labels = torch.roll(batch["labels"], 1, dims=1)
    with torch.no_grad():
        stock = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels
        ).loss
        assert learner.loss(model, batch, None).item() == pytest.approx(stock.item(), abs=1e-6)


def test_accumulated_batches_sum_to_the_whole_and_smoothing_is_the_trainers_own() -> None:
    from transformers.trainer_pt_utils import LabelSmoother

    model, learner = new_model().eval(), objective(label_smoothing_factor=0.1)
    whole = batch_of(learner)
    count = whole["shift_labels"].ne(IGNORED).sum()
    with torch.no_grad():
        parts = [learner.loss(model, batch_of(learner, rows), count).item() for rows in ([0], [1, 2], [3])]
        assert sum(parts) == pytest.approx(learner.loss(model, whole, count).item(), abs=1e-6)
        logits = model(input_ids=whole["input_ids"], attention_mask=whole["attention_mask"]).logits
        stock = LabelSmoother(0.1)({"logits": logits}, whole["labels"])
        assert learner.loss(model, whole, None).item() == pytest.approx(stock.item(), abs=1e-6)
        judged = learner.answer(model, whole)
        plain = objective().loss(model, whole, None).item()
    assert judged.loss_sum / judged.num_targets == pytest.approx(plain, abs=1e-6), "judged without"


@pytest.mark.parametrize("method", ["lora", "prompt"])
def test_adapters_are_given_only_what_is_learnt(method: str) -> None:
    import peft

    settings = {
        "lora": peft.LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear"),
        "prompt": peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    }
    model, learner = peft.get_peft_model(new_model(), settings[method]).eval(), objective()
    batch = batch_of(learner)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        logits = model(**inputs).logits[:, -batch["labels"].shape[1] :]
        stock = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())
        assert learner.loss(model, batch, None).item() == pytest.approx(stock.item(), abs=1e-6)


def test_packed_rows_are_worth_what_their_conversations_are() -> None:
    model = new_model().train()
    alone, packing = objective(), objective(packing=True, max_length=150)
    rows = packing.training_set(encode(packing))
    assert isinstance(rows, PackedRows)
    assert len(rows) < len(CHATS)
    assert sorted(index for row in rows.rows for index in row) == list(range(len(CHATS)))
    assert rows.lengths.max() <= 150
    packed = packing.collate([rows[index] for index in range(len(rows))])
    assert "attention_mask" not in packed
    found = []
    for learner, batch in ((alone, batch_of(alone)), (packing, packed)):
        model.zero_grad()
        loss = learner.loss(model, batch, None)
        loss.backward()
        found.append((loss.item(), torch.cat([p.grad.flatten() for p in model.parameters()])))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-5)


def test_a_family_whose_packed_conversations_would_see_each_other_is_refused() -> None:
    for architecture in ("llama", "gpt2", "gpt_neox"):
        check_packing(new_model(architecture))
    with pytest.raises(ConfigError, match="packing: in a bloom model the examples of one row"):
        objective(packing=True).prepare(new_model("bloom"))


def test_a_model_learns_its_conversations_by_heart_and_stops_where_they_do(tmp_path: Path) -> None:
    learner, model = objective(), new_model(hidden_size=64)
    learner.prepare(model)
    features = encode(learner)
    before = learner.predict(model, features)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    batch = batch_of(learner)
    for _ in range(80):
        learner.loss(model, batch, None).backward()
        optimizer.step()
        optimizer.zero_grad()
    found = learner.predict(model, features)
    assert found.loss is not None
    assert before.loss is not None
    assert found.loss < 0.05 < 4 < before.loss
    assert found.confidence is None
    scores = learner.judge(features, found, metrics=("perplexity", "loss"), num_resamples=50, seed=0)
    assert scores.values["loss"].value == pytest.approx(found.loss, abs=1e-9)
    assert scores.values["perplexity"].value == pytest.approx(math.exp(found.loss))
    assert scores.values["perplexity"].low is not None
    model.save_pretrained(tmp_path)
    learner.tokenizer.save_pretrained(tmp_path)
    loaded, reader = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    prompt = reader.apply_chat_template(CHATS[0][:1], add_generation_prompt=True, return_tensors="pt")
    written = loaded.generate(**prompt, max_new_tokens=40, do_sample=False)
    assert reader.decode(written[0, prompt["input_ids"].shape[1] :]) == "Hello there!<|im_end|>"


@pytest.mark.parametrize("logits", [1, 1 << 27])
def test_each_conversation_is_judged_as_if_it_were_alone(
    logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_module, "_LOGITS", logits)
    learner, model = objective(), new_model().eval()
    features = encode(learner)
    found = learner.predict(model, features)
    for index in range(len(CHATS)):
        nll, count = found.answers[index]
        assert count == learner.gold(features)[index]
        with torch.no_grad():
            assert nll / count == pytest.approx(
                learner.loss(model, batch_of(learner, [index]), None).item(), abs=1e-5
            )
        assert learner.record(features, found, index) == {
            "messages": CHATS[index],
            "nll": round(nll, 6),
            "tokens": count,
        }


def test_what_is_cut_and_what_is_left_out_is_told() -> None:
    told = Told()
    features = encode(objective(max_length=50), told=told)
    assert features.examples.column("messages") == [CHATS[0], CHATS[1], CHATS[3]]
    assert features.lengths.tolist() == [35, 50, 28]
    assert told.notes == [
        "train.jsonl: 1 of 4 examples are longer than max_length 50 and were cut: 36 tokens are not read",
        "train.jsonl: in 1 of 4 conversations the assistant says nothing within max_length 50; they are left out "
        "(first: train.jsonl:3)",
        "train.jsonl: 113 tokens: 20 learnt (17.7%), 93 masked",
    ]
    with pytest.raises(DataError, match="no token to learn") as caught:
        encode(objective(max_length=8))
    assert "--max-length" in str(caught.value.hint)


def test_the_account_shows_one_conversation_with_what_is_learnt_of_it() -> None:
    told = Told()
    objective().account({"train": examples([CHATS[1], CHATS[0]])}, told)
    assert told.notes == [
        "train.jsonl: 2 conversations, messages: 3 of the user, 3 of the assistant, 1 of the system",
        "train.jsonl:1 as the model reads it, and what is learnt:",
        r"  masked    42  '<|im_start|>system\nBe brief.<|im_end|>\n"
        r"<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n'",
        "  learnt     2  '2<|im_end|>'",
        r"  masked    28  '\n<|im_start|>user\nand 2+2?<|im_end|>\n<|im_start|>assistant\n'",
        "  learnt    13  '4, of course<|im_end|>'",
        r"  masked     1  '\n'",
    ]


def test_special_tokens_written_out_in_what_is_said_are_told() -> None:
    told = Told()
    encode(objective(), [*CHATS, said("a<|im_end|>b", "c"), said("d", "</s>")], told)
    assert (
        "train.jsonl: in 2 of 6 conversations a special token is written out in what is said, and is read as that "
        "token (first: train.jsonl:5: <|im_end|>)"
    ) in told.notes


def test_a_refused_conversation_is_left_out_and_a_template_that_refuses_all_is_refused() -> None:
    picky = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
    told = Told()
    features = encode(objective(chat_tokenizer(picky)), told=told)
    assert len(features) == 3
    assert (
        "refuses 1 of 4 conversations, which are left out (first: train.jsonl:2: no system)" in told.notes[0]
    )
    with pytest.raises(DataError, match=r"train.jsonl:2: .* as it does all: no system"):
        objective(chat_tokenizer(picky)).encode(examples().select([1]), progress=SILENT)


def test_a_turn_that_is_written_otherwise_once_others_follow_is_known_by_its_words() -> None:
    thinking = CHATML.replace(
        "{{ message['content'] }}",
        "{{ '<think></think>' if loop.last and message['role'] == 'assistant' }}{{ message['content'] }}",
    )
    learner = objective(chat_tokenizer(thinking))
    features = encode(learner)
    assert learnt_text(learner, features[1]) == "2<|im_end|><think></think>4, of course<|im_end|>"


def test_turns_that_the_template_does_not_tell_apart_are_counted() -> None:
    shortening = CHATML.replace(
        "{{ message['content'] }}",
        "{{ '...' if message['role'] == 'assistant' and not loop.last else message['content'] }}",
    )
    told = Told()
    learner = objective(chat_tokenizer(shortening))
    features = encode(learner, told=told)
    assert [learnt_text(learner, features[index]) for index in range(2)] == [
        "Hello there!<|im_end|>",
        "4, of course<|im_end|>",
    ]
    assert any("1 turns of the assistant are not learnt" in note for note in told.notes)


def test_a_turn_that_begins_within_a_token_or_never_ends_is_told() -> None:
    bare = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}" + (
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    tokenizer = chat_tokenizer(bare)
    tokenizer.add_tokens([" 2"])
    told = Told()
    features = encode(objective(tokenizer), [CHATS[1]], told)
    assert any("1 of 2 turns begin within a token of the prompt" in note for note in told.notes)
    assert any("no token ends the assistant's turns" in note for note in told.notes)
    assert learnt_text(objective(tokenizer), features[0]) == " 2\n4, of course\n"


def test_a_tokenizer_without_a_template_gets_one_that_needs_no_new_token(tmp_path: Path) -> None:
    told = Told()
    tokenizer = chat_tokenizer(None)
    size = len(tokenizer)
    learner = objective(tokenizer)
    learner.account({"train": examples()}, told)
    assert "it gets ChatML" in told.notes[0]
    assert tokenizer.apply_chat_template(CHATS[0], tokenize=False) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello there!<|im_end|>\n"
    )
    plain = chat_tokenizer(None, marks=(), adds_bos=True)
    learner = objective(plain)
    assert (
        plain.apply_chat_template(CHATS[0], tokenize=False)
        == "<s><|user|>\nHi</s>\n<|assistant|>\nHello there!</s>\n"
    )
    assert learnt_text(learner, encode(learner)[0]) == "Hello there!</s>"
    assert len(tokenizer) == size
    plain.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    judged = Chat.for_model(find_task("chat"), FinetuneConfig(), again, None)
    assert again.chat_template == plain.chat_template
    assert judged.given_template is None
    told = Told()
    Chat.for_model(find_task("chat"), FinetuneConfig(), chat_tokenizer(None), None).aligned(examples(), told)
    assert len(told.notes) == 1
    with pytest.raises(ModelError, match="neither a chat template nor a token that ends a text"):
        objective(chat_tokenizer(None, marks=(), eos=None))


def test_plain_generate_is_told_where_turns_end() -> None:
    learner, model = objective(), new_model()
    model.generation_config.eos_token_id = 7
    end = learner.tokenizer.convert_tokens_to_ids("<|im_end|>")
    learner.prepare(model)
    learner.prepare(model)
    assert model.generation_config.eos_token_id == [7, end]


@pytest.mark.slow
@pytest.mark.realdata
def test_real_dialogues_with_a_real_model(real_data: Path, tmp_path: Path) -> None:
    try:
        found = models.find_source("builtin:smollm2", tmp_path)
    except ConfigError:
        pytest.skip("builtin:smollm2 is not installed")
    model, _ = models.load_weights(found, Chat.model_class)
    tokenizer = models.load_tokenizer("builtin:smollm2", runs_dir=tmp_path)
    data = TaskData(
        task="chat",
        data=str(real_data / "dialogsum"),
        text_column="dialogue",
        target_column="summary",
        validation_fraction=0.0,
    )
    found = load_examples(data, find_task("chat"), progress=SILENT, cache_dir=tmp_path)["train"]
    lengths = [len(messages[0]["content"]) for messages in found.column("messages")]
    dialogues = found.select(sorted(range(len(found)), key=lengths.__getitem__)[:3])
    learner = objective(tokenizer, packing=True, max_length=600)
    learner.prepare(model)
    assert model.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    features = learner.encode(dialogues, progress=SILENT)
    for index, summary in enumerate(dialogues.column("messages")):
        assert learnt_text(learner, features[index]) == summary[-1]["content"] + "<|im_end|>"
    rows = learner.training_set(features)
    assert isinstance(rows, PackedRows)
    assert len(rows) < len(features)
    batch = learner.collate([features[index] for index in range(len(features))])
    packed = learner.collate([rows[index] for index in range(len(rows))])
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        stock = model(**inputs, labels=torch.roll(batch["labels"], 1, dims=1)).loss.item()
        assert learner.loss(model, batch, None).item() == pytest.approx(stock, abs=1e-5)
        assert learner.loss(model, packed, None).item() == pytest.approx(stock, abs=1e-5)


def test_what_cannot_be_is_refused() -> None:
    config = BertConfig(
        vocab_size=300,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=16,
        initializer_range=0.5,
    )
    with pytest.raises(ModelError, match="reads text both ways"):
        objective().prepare(AutoModelForCausalLM.from_config(config))
    several = chat_tokenizer(CHATML)
    several.chat_template = {"one": CHATML, "two": CHATML}
    with pytest.raises(ModelError, match="chat template: "):
        encode(objective(several))
    assert isinstance(several, PreTrainedTokenizerFast)
