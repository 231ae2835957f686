"""Texts written for texts: the loss of the stock models, padding that changes nothing, what is generated."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, NllbTokenizer

from llmctl import architectures
from llmctl.config import FinetuneConfig, ModelShape, TokenizerTrainConfig
from llmctl.data.examples import Examples, load_examples
from llmctl.errors import ConfigError, ModelError
from llmctl.objectives import seq2seq
from llmctl.objectives.pairs import PairFeatures
from llmctl.objectives.seq2seq import Seq2Seq
from llmctl.objectives.task import IGNORED, batches_by_length
from llmctl.progress import SILENT
from llmctl.tasks import Task, find_task
from llmctl.tokenization import train
from tests.data.conftest import Told

PAIRS = [
    ("A man sleeps.", "Ein Mann schläft."),
    ("Two dogs run over the green grass.", "Zwei Hunde laufen über das grüne Gras."),
    ("A girl reads a book.", "Ein Mädchen liest ein Buch."),
    ("The boy eats.", "Der Junge isst."),
]
FAMILIES = ["t5", "bart", "marian", "mbart", "pegasus"]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Models this small are slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def examples(pairs: list[tuple[str, str]] = PAIRS, *, labelled: bool = True) -> Examples:
    sides = list(zip(*pairs, strict=True))
    columns: dict[str, Any] = {"text": sides[0], "line": range(1, len(pairs) + 1)}
    if labelled:
        columns["target"] = sides[1]
    table = pa.table({name: list(values) for name, values in columns.items()})
    return Examples("train.tsv", table, None, "", (), labelled, (("train.tsv", False),))


@pytest.fixture(scope="module")
def tokenizers() -> Callable[[str], Any]:
    """A tokenizer of 400 tokens with the special tokens of T5 or BART."""
    made: dict[str, Any] = {}

    def get(architecture: str) -> Any:
        # Marian, mBART and Pegasus end a text with </s> and begin it with nothing, as T5 does.
        family = "bart" if architecture == "bart" else "t5"
        if family not in made:
            settings = TokenizerTrainConfig(vocab_size=400)
            made[family] = train(examples().documents(), settings, family, progress=SILENT)
        return made[family]

    return get


def objective(tokenizer: Any, task: Task | None = None, **settings: Any) -> Seq2Seq:
    defaults = {"architecture": "t5", "max_length": 64, "max_target_length": 48}
    config = FinetuneConfig(task="translation", **defaults | settings)
    return Seq2Seq.for_training(task or find_task("translation"), config, tokenizer, {"train": examples()})


def new_model(architecture: str, tokenizer: Any, **shape: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "dropout": 0.0} | shape
    config = architectures.new_config(
        ModelShape(architecture=architecture, **sizes),
        tokenizer,
        vocab_size=len(tokenizer),
        block_size=64,
        model_class=Seq2Seq.model_class,
    )
    return AutoModelForSeq2SeqLM.from_config(config)


def batch_of(learner: Seq2Seq, rows: Sequence[int] = (0, 1, 2, 3)) -> dict[str, torch.Tensor]:
    features = learner.encode(examples(), progress=SILENT)
    return learner.collate([features[index] for index in rows])


def test_a_pair_becomes_ids_that_end_and_padding_that_is_no_target(tokenizers: Callable[[str], Any]) -> None:
    tokenizer = tokenizers("t5")
    learner = objective(tokenizer, prefix="say: ")
    batch = batch_of(learner, [0, 1])
    ids, mask, labels = batch["input_ids"], batch["attention_mask"], batch["labels"]
    assert tokenizer.decode(ids[0][mask[0].bool()]) == "say: A man sleeps.</s>"
    assert mask[0].sum() < mask[1].sum() == ids.shape[1]
    assert tokenizer.decode(labels[0][labels[0] != IGNORED]) == "Ein Mann schläft.</s>"
    assert (labels[0] == IGNORED).sum() == labels.shape[1] - (labels[0] != IGNORED).sum() > 0


@pytest.mark.parametrize("architecture", [*FAMILIES, "m2m_100", "mt5", "led"])
def test_the_loss_is_the_stock_models_own(architecture: str, tokenizers: Callable[[str], Any]) -> None:
    tokenizer = tokenizers(architecture)
    model = new_model(architecture, tokenizer).eval()
    batch = batch_of(objective(tokenizer))
    with torch.no_grad():
        stock = model(**batch).loss
        ours = objective(tokenizer).loss(model, batch, None)
    assert ours.item() == pytest.approx(stock.item(), abs=1e-6)


def test_smoothing_is_the_trainers_own(tokenizers: Callable[[str], Any]) -> None:
    from transformers.trainer_pt_utils import LabelSmoother

    tokenizer = tokenizers("bart")
    model = new_model("bart", tokenizer).eval()
    learner = objective(tokenizer, label_smoothing_factor=0.1)
    batch = batch_of(learner)
    with torch.no_grad():
        stock = LabelSmoother(0.1)(model(**batch), batch["labels"])
        assert learner.loss(model, batch, None).item() == pytest.approx(stock.item(), abs=1e-6)
        plain = objective(tokenizer).loss(model, batch, None)
        answered = learner.answer(model, batch)
    assert answered.loss_sum / answered.num_targets == pytest.approx(plain.item(), abs=1e-6), "judged without"


def test_ranks_that_share_weights_write_as_long_as_the_last_of_them(
    tokenizers: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tokenizers("bart")
    model, learner = new_model("bart", tokenizer).eval(), objective(tokenizer)
    plain, synced = model.generate, []

    def generate(*, synced_gpus: bool, **given: Any) -> Any:
        synced.append(synced_gpus)
        return plain(**given)

    monkeypatch.setattr(model, "generate", generate)
    with torch.no_grad():
        learner.answer(model, batch_of(learner))
        monkeypatch.setattr(seq2seq, "is_sharded", lambda model: True)
        learner.answer(model, batch_of(learner))
    assert synced == [False, True]


def test_accumulated_batches_sum_to_the_whole(tokenizers: Callable[[str], Any]) -> None:
    tokenizer = tokenizers("marian")
    model, learner = new_model("marian", tokenizer).eval(), objective(tokenizer)
    whole = batch_of(learner)
    count = whole["labels"].ne(IGNORED).sum()
    parts = [learner.loss(model, batch_of(learner, rows), count) for rows in ([0], [1, 2], [3])]
    assert sum(part.item() for part in parts) == pytest.approx(
        learner.loss(model, whole, count).item(), abs=1e-6
    )


@pytest.mark.parametrize("architecture", ["t5", "bart", "marian"])
def test_a_new_model_learns_its_pairs_by_heart_and_is_what_plain_generate_loads(
    architecture: str, tokenizers: Callable[[str], Any], tmp_path: Path
) -> None:
    tokenizer = tokenizers(architecture)
    learner, model = objective(tokenizer), new_model(architecture, tokenizer)
    learner.prepare(model)
    features = learner.encode(examples(), progress=SILENT)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range(160):
        learner.loss(model, batch_of(learner), None).backward()
        optimizer.step()
        optimizer.zero_grad()
    found = learner.predict(model, features)
    assert list(found.answers) == [target for _, target in PAIRS] == learner.gold(features)
    assert found.loss is not None
    assert found.loss < 0.1
    assert found.confidence is None
    scores = learner.judge(features, found, metrics=("bleu", "chrf"), num_resamples=10, seed=0)
    assert scores.values["bleu"].value == pytest.approx(100)
    assert learner.record(features, found, 0) == {
        "text": "A man sleeps.",
        "predicted": "Ein Mann schläft.",
        "gold": "Ein Mann schläft.",
    }

    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, reader = AutoModelForSeq2SeqLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    written = loaded.generate(**reader(PAIRS[1][0], return_tensors="pt"))
    assert reader.decode(written[0], skip_special_tokens=True) == PAIRS[1][1]


@pytest.mark.parametrize("num_beams", [1, 3])
def test_neighbours_in_a_batch_change_nothing(num_beams: int, tokenizers: Callable[[str], Any]) -> None:
    tokenizer = tokenizers("bart")
    learner, model = objective(tokenizer, num_beams=num_beams), new_model("bart", tokenizer).eval()
    with torch.inference_mode():
        together = learner.answer(model, batch_of(learner)).answers
        alone = [learner.answer(model, batch_of(learner, [row])).answers[0] for row in range(len(PAIRS))]
    assert together == alone


def test_a_checkpoints_settings_of_beams_do_not_leak_into_greedy_writing(
    tokenizers: Callable[[str], Any], recwarn: pytest.WarningsRecorder
) -> None:
    tokenizer = tokenizers("bart")
    learner, model = objective(tokenizer), new_model("bart", tokenizer).eval()
    model.generation_config.update(num_beams=4, early_stopping=True, length_penalty=2.0, max_length=142)
    with torch.inference_mode():
        learner.answer(model, batch_of(learner))
    assert not [warning for warning in recwarn if "generat" in str(warning.message)]


def test_texts_to_read_need_no_texts_to_write(tokenizers: Callable[[str], Any]) -> None:
    tokenizer = tokenizers("t5")
    learner = objective(tokenizer)
    features = learner.encode(examples(labelled=False), progress=SILENT)
    found = learner.predict(new_model("t5", tokenizer), features)
    assert len(found.answers) == len(PAIRS)
    assert found.loss is None
    assert learner.record(features, found, 0).keys() == {"text", "predicted"}


def test_what_is_cut_is_counted_on_both_sides(tokenizers: Callable[[str], Any]) -> None:
    tokenizer, told = tokenizers("t5"), Told()
    learner = objective(tokenizer, max_length=8, max_target_length=6)
    features = learner.encode(examples(), progress=told)
    whole = objective(tokenizer).encode(examples(), progress=SILENT)
    assert features.targets is not None
    assert whole.targets is not None
    assert features.lengths.max() == 8
    assert features.targets.lengths.max() == 6
    assert features.rows[1]["input_ids"][-1] == features.targets[1]["input_ids"][-1] == tokenizer.eos_token_id
    assert tokenizer.backend_tokenizer.truncation is None, "the caller's tokenizer is as it was"
    lost = [int((full.lengths - cut.lengths).sum()) for full, cut in ((whole.rows, features.rows),
                                                                     (whole.targets, features.targets))]  # fmt: skip
    assert f"{lost[0]} tokens are not read" in told.notes[0]
    assert f"longer than max_target_length 6 and were cut: {lost[1]} tokens are not learnt" in told.notes[1]


def test_what_is_learnt_is_sorted_by_the_longer_side_then_by_the_shorter(
    tokenizers: Callable[[str], Any],
) -> None:
    learner = objective(tokenizers("t5"))
    pairs = [("a", "a b c d e f"), ("a b c d e f", "a"), ("a b c", "a b c"), ("a b c d e f", "a b c")]
    features = learner.encode(examples(pairs), progress=SILENT)
    learnt = learner.training_set(features)
    assert np.argsort(-learnt.lengths, kind="stable").tolist() == [3, 0, 1, 2]
    assert (features.lengths == features.rows.lengths).all(), "what is read decides the batches of judging"
    assert isinstance(learnt, PairFeatures)
    assert torch.equal(learnt[0]["labels"], features[0]["labels"])


@pytest.mark.parametrize(
    ("task", "settings", "prefix"),
    [
        (Task("x", "summarization"), {}, "summarize: "),
        (
            Task("x", "translation"),
            {"source_lang": "en", "target_lang": "de"},
            "translate English to German: ",
        ),
        (Task("x", "translation", source_lang="en", target_lang="xx"), {}, "translate English to xx: "),
        (Task("x", "translation"), {}, ""),
        (Task("x", "summarization"), {"prefix": ""}, ""),
        (Task("x", "summarization"), {"architecture": "t5"}, ""),
    ],
)
def test_t5_is_told_what_it_was_trained_to_be_told(
    task: Task, settings: dict[str, Any], prefix: str, tokenizers: Callable[[str], Any]
) -> None:
    tokenizer, told = tokenizers("t5"), Told()
    learner = objective(tokenizer, task, **{"architecture": None} | settings)
    assert learner.prefix == prefix
    learner.account({"train": examples()}, told)
    assert bool(prefix) == any(repr(prefix) in note for note in told.notes[1:])
    model = new_model("t5", tokenizer)
    learner.prepare(model)
    again = Seq2Seq.for_model(task, FinetuneConfig(), tokenizer, type(model.config)(**model.config.to_dict()))
    assert again.prefix == prefix, "a saved model keeps what it was told"
    assert objective(tokenizers("bart"), task, architecture=None).prefix == "", "others are told nothing"


def test_a_multilingual_tokenizer_marks_the_languages() -> None:
    words = ["<s>", "<pad>", "</s>", "<unk>", "▁Ein", "▁Mann", "▁A", "▁man"]
    tokenizer = NllbTokenizer(
        vocab={word: index for index, word in enumerate(words)},
        merges=[],
        additional_special_tokens=["eng_Latn", "deu_Latn"],
    )
    learner = objective(tokenizer, source_lang="eng_Latn", target_lang="deu_Latn", architecture="mbart")
    german = tokenizer.convert_tokens_to_ids("deu_Latn")
    features = learner.encode(examples(), progress=SILENT)
    assert tokenizer.convert_ids_to_tokens(features.rows[0]["input_ids"])[0] == "eng_Latn"
    assert features[0]["labels"][0] == german
    model = new_model("m2m_100", tokenizer)
    learner.prepare(model)
    assert model.generation_config.forced_bos_token_id == german
    with pytest.raises(ConfigError, match="no language 'de'") as caught:
        objective(tokenizer, source_lang="eng_Latn", target_lang="de", architecture="mbart")
    assert caught.value.hint == "--target-lang deu_Latn"
    tokenizer.tgt_lang = None
    with pytest.raises(ConfigError, match="target_lang"):
        objective(tokenizer, source_lang="eng_Latn", architecture="mbart")


def test_what_cannot_be_is_refused(tokenizers: Callable[[str], Any]) -> None:
    with pytest.raises(ModelError, match="gpt2 models have no encoder and decoder"):
        Seq2Seq.for_model(
            find_task("translation"),
            FinetuneConfig(),
            tokenizers("t5"),
            SimpleNamespace(is_encoder_decoder=False, model_type="gpt2"),
        )
    tokenizer = tokenizers("bart")
    with pytest.raises(ConfigError, match="max_target_length 500 is beyond the model's 64 positions"):
        objective(tokenizer, max_target_length=500).prepare(new_model("bart", tokenizer))


def test_pairs_that_are_alike_are_counted(tokenizers: Callable[[str], Any]) -> None:
    told = Told()
    objective(tokenizers("bart")).account({"train": examples([*PAIRS, ("OK", "OK")])}, told)
    assert told.notes == ["train.tsv: 5 examples, 1 of them to be written as they are read"]


@pytest.mark.realdata
def test_sentences_of_multi30k_lose_nothing_and_are_padded_little(real_data: Path, tmp_path: Path) -> None:
    config = FinetuneConfig(
        task="translation", data=str(real_data / "multi30k"), source_lang="en", target_lang="de", max_length=64,
        architecture="t5", max_target_length=80, vocab_size=1000, per_device_train_batch_size=64,
    )  # fmt: skip
    task = find_task("translation")
    splits = load_examples(config, task, progress=SILENT, cache_dir=tmp_path)
    tokenizer = train(splits["validation"].documents(), config, "t5", progress=SILENT)
    learner = Seq2Seq.for_training(task, config, tokenizer, splits)
    told = Told()
    features = learner.encode(splits["validation"], progress=told)
    assert len(features) == 1014
    assert [note for note in told.notes if "cut" in note] == []
    assert learner.gold(features)[0] == "Eine Gruppe von Männern lädt Baumwolle auf einen Lastwagen"
    assert features.targets is not None
    learnt = learner.training_set(features)
    padded = np.zeros(2)
    for chosen in batches_by_length(learnt.lengths, 64):
        batch = learner.collate([learnt[int(index)] for index in chosen])
        padded += [batch["input_ids"].numel(), batch["labels"].numel()]
    assert (padded < 1.25 * np.array([features.lengths.sum(), features.targets.lengths.sum()])).all()
