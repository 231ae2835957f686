"""``tokenizer train`` leaves a whole directory or none; ``tokenizer inspect`` counts as by hand."""

import dataclasses
import json
from collections.abc import Iterator

import pytest
from transformers import AutoTokenizer

from llmctl.config import TokenizerInspectConfig, TokenizerTrainConfig
from llmctl.data.readers import Piece
from llmctl.errors import ConfigError, ModelError
from llmctl.progress import SILENT, Silent
from llmctl.tokenization.report import RoundTripLoss
from llmctl.workflows import tokenizer as workflow


class Texts:
    """A stand-in for ``Documents``: one piece a document."""

    def __init__(self, name: str, *texts: str) -> None:
        self.name = name
        self.texts = texts
        self.num_documents = len(texts)
        self.num_bytes = sum(len(text.encode()) for text in texts)

    def pieces(self, max_chars: int = 20_000) -> Iterator[Piece]:
        return (Piece(text, True) for text in self.texts)


@pytest.fixture
def data(monkeypatch):
    """Text in memory instead of what the config names."""
    splits = {"train": Texts("train", *["the cat saw the dog. Then it ran! " * 5] * 3)}
    monkeypatch.setattr(workflow, "load_text", lambda config, **kwargs: splits)
    return splits


@pytest.fixture
def trained(data, tmp_path):
    config = TokenizerTrainConfig(output_dir=str(tmp_path / "new" / "bpe"), vocab_size=270)
    return workflow.train(config, progress=SILENT)


def test_train_saves_what_autotokenizer_loads(trained, tmp_path):
    loaded = AutoTokenizer.from_pretrained(trained.output_dir)
    assert loaded.decode(loaded("the dog.\n\n É")["input_ids"]) == "the dog.\n\n É"
    assert len(loaded) == trained.vocab_size == 270
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["bpe"]
    assert (trained.num_documents, trained.num_bytes, trained.measured_on) == (3, 3 * 5 * 34, "train")
    tokens = sum(len(loaded("the cat saw the dog. Then it ran! " * 5)["input_ids"]) for _ in range(3))
    assert trained.bytes_per_token == 510 / tokens


def test_train_looks_once_whether_the_directory_is_used(data, tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(workflow, "_check_unused", looked.append)
    workflow.train(TokenizerTrainConfig(output_dir=str(tmp_path / "out"), vocab_size=270), progress=SILENT)
    assert looked == [tmp_path / "out"]


def test_train_refuses_a_directory_in_use_and_takes_an_empty_one(data, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "work").write_text("mine")
    with pytest.raises(ConfigError, match="used is in use") as caught:
        workflow.train(TokenizerTrainConfig(output_dir=str(tmp_path / "used")), progress=SILENT)
    assert "--output-dir" in caught.value.hint
    assert (tmp_path / "used" / "work").read_text() == "mine"

    (tmp_path / "empty").mkdir()
    workflow.train(TokenizerTrainConfig(output_dir=str(tmp_path / "empty")), progress=SILENT)
    assert (tmp_path / "empty" / "tokenizer.json").is_file()


def test_a_failure_leaves_nothing(data, tmp_path, monkeypatch):
    def broken(folder, tokenizer, text):
        assert list(folder.iterdir())
        raise ModelError("does not load")

    monkeypatch.setattr(workflow, "_check_reload", broken)
    with pytest.raises(ModelError):
        workflow.train(TokenizerTrainConfig(output_dir=str(tmp_path / "out")), progress=SILENT)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot make .*file"):
        workflow.train(TokenizerTrainConfig(output_dir=str(tmp_path / "file" / "out")), progress=SILENT)
    with pytest.raises(ConfigError, match="in use"):
        workflow.train(TokenizerTrainConfig(output_dir=str(tmp_path / "file")), progress=SILENT)


def test_nothing_is_read_for_an_impossible_config(tmp_path, monkeypatch):
    monkeypatch.setattr(workflow, "load_text", None)
    for options in ({"architecture": "gtp2"}, {"vocab_size": 10}):
        with pytest.raises(ConfigError):
            workflow.train(TokenizerTrainConfig(output_dir=str(tmp_path / "o"), **options), progress=SILENT)


def wordpiece(path, **vocabulary):
    """An uncased WordPiece tokenizer with a vocabulary given by hand."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="U"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.decoder = decoders.WordPiece(cleanup=False)
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="U").save_pretrained(path)
    return str(path)


def test_inspect_by_hand(data, tmp_path):
    source = wordpiece(tmp_path / "w", U=0, the=1, **{"do": 2, "##g": 3, "##s": 4, "cat": 5, "pig": 6})
    data["validation"] = Texts("held out", "the dog", "The dogs  zz")
    config = TokenizerInspectConfig(tokenizer=(source,), sample="The dogs")
    found = workflow.inspect(config, progress=SILENT)
    report = found.tokenizers[0]
    assert (found.data, found.num_documents, found.num_bytes, found.num_words) == ("held out", 2, 19, 5)
    # the do ##g | the do ##g ##s U
    assert report.num_tokens == 8
    assert report.tokens_per_word == 8 / 5
    assert report.bytes_per_token == 19 / 8
    assert report.unknown_share == 1 / 8
    # the second comes back as "the dogs U": T, one of two spaces and zz are gone
    assert report.lossy_documents_share == 1 / 2
    assert report.lost_characters_share == 4 / 19
    assert report.loss == RoundTripLoss("The dogs  zz", "the dogs U")
    assert report.vocab_size == 7
    # the cat is in the training text alone, the pig in neither
    assert (report.num_unused, report.unused_tokens) == (1, ("pig",))
    assert report.special_tokens == ("U",)
    assert report.longest_tokens[:2] == ("##g", "##s")
    assert report.pieces == (("The", 1), (" ", None), ("do", 2), ("g", 3), ("s", 4))
    json.dumps(dataclasses.asdict(found))


def test_pieces_join_to_the_sample_with_characters_of_several_tokens(trained):
    sample = "the é 日本!"
    config = TokenizerInspectConfig(tokenizer=(trained.output_dir,), sample=sample)
    report = workflow.inspect(config, progress=SILENT).tokenizers[0]
    assert "".join(text for text, _ in report.pieces) == sample
    loaded = AutoTokenizer.from_pretrained(trained.output_dir)
    assert [token_id for _, token_id in report.pieces] == loaded(sample)["input_ids"]
    assert report.loss is None
    assert report.lost_characters_share == 0


def test_inspect_compares_side_by_side_and_samples_the_first_sentence(trained, tmp_path):
    source = wordpiece(tmp_path / "w", U=0, the=1, dog=2)
    config = TokenizerInspectConfig(tokenizer=(trained.output_dir, source))
    found = workflow.inspect(config, progress=SILENT)
    assert found.sample == "the cat saw the dog."
    assert [report.tokenizer for report in found.tokenizers] == [trained.output_dir, source]
    assert [report.unknown_share > 0 for report in found.tokenizers] == [False, True]


def test_inspect_tells_how_much_it_read(trained, monkeypatch):
    class Notes(Silent):
        def note(self, message: str) -> None:
            notes.append(message)

    notes: list[str] = []
    monkeypatch.setattr(workflow, "INSPECT_BYTES", 200)
    config = TokenizerInspectConfig(tokenizer=(trained.output_dir,))
    found = workflow.inspect(config, progress=Notes())
    assert (found.num_documents, found.num_bytes) == (2, 340)  # up to the document that reaches 200 bytes
    assert notes == ["inspected the first 200 of 510 bytes of train"]
    assert workflow.inspect(dataclasses.replace(config, max_documents=3), progress=Notes()).num_documents == 3
    assert len(notes) == 1


def test_unused_tokens_are_looked_for_in_a_part_of_a_large_text(data, tmp_path, monkeypatch):
    class Notes(Silent):
        def note(self, message: str) -> None:
            notes.append(message)

    notes: list[str] = []
    data["train"] = Texts("train", "the", "cat", "pig")
    data["validation"] = Texts("held out", "dog")
    source = wordpiece(tmp_path / "w", U=0, the=1, cat=2, pig=3, dog=4)
    monkeypatch.setattr(workflow, "USED_BYTES", 6)
    report = workflow.inspect(TokenizerInspectConfig(tokenizer=(source,)), progress=Notes()).tokenizers[0]
    assert report.unused_tokens == ("pig", "dog")
    assert notes == ["looked for unused tokens in the first 6 of all 12 bytes"]


def test_inspect_needs_a_tokenizer():
    with pytest.raises(ConfigError, match="no tokenizer is named"):
        workflow.inspect(TokenizerInspectConfig(), progress=SILENT)
