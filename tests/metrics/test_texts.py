import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from llmctl.errors import ConfigError
from llmctl.metrics.measure import Settings
from llmctl.metrics.scores import compute, make_measure
from tests.metrics.parity import agreed

NUM_CASES = 250
WORDS = ["the", "cat", "cats", "sat", "sitting", "on", "mat.", "Über", "1,000", "\n", "das", "Haus", ","]

Corpus = tuple[list[str], list[list[str]]]


def _cases() -> list[Corpus]:
    """1 to 6 texts of 0 to 12 words with 1 to 3 references: empty ones, right ones, ones without a common word."""
    rng = random.Random(0)

    def text() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(0, 12)))

    cases: list[Corpus] = [([""], [["the cat"]]), (["the cat"], [[""]]), ([""], [[""]]), (["a"], [["b"]])]
    while len(cases) < NUM_CASES:
        references = [[text() for _ in range(rng.choice([1, 1, 3]))] for _ in range(rng.randint(1, 6))]
        predictions = [rng.choice([text(), *accepted]) for accepted in references]
        cases.append((predictions, references))
    return cases


def _streams(references: list[list[str]]) -> list[list[str | None]]:
    longest = max(map(len, references))
    return [
        [texts[place] if place < len(texts) else None for texts in references] for place in range(longest)
    ]


def test_bleu_and_chrf_are_those_of_sacrebleu() -> None:
    for predictions, references in _cases():
        streams = _streams(references)
        bleu = sacrebleu.corpus_bleu(predictions, streams).score
        chrf = sacrebleu.corpus_chrf(predictions, streams).score
        assert agreed("bleu", "text", predictions, references)["bleu"] == pytest.approx(bleu, abs=1e-9)
        assert agreed("chrf", "text", predictions, references)["chrf"] == pytest.approx(chrf, abs=1e-9)


def test_sacrebleus_command_says_the_same(tmp_path: Path) -> None:
    rng = random.Random(1)
    references = [" ".join(rng.choices(["Hello,", "world!", "it's", "3.5", "x-y"], k=9)) for _ in range(40)]
    predictions = [" ".join(rng.sample(text.split(), 8)) for text in references]
    (tmp_path / "ref").write_text("\n".join(references) + "\n")
    (tmp_path / "hyp").write_text("\n".join(predictions) + "\n")
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "hyp", "-m", "bleu", "chrf", "-b", "-w", "9"]
    printed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    scores = compute(["bleu", "chrf"], predictions, references, num_resamples=0)
    assert [interval.value for interval in scores.values.values()] == pytest.approx(
        [float(number) for number in printed.replace("[", " ").replace("]", " ").replace(",", " ").split()],
        abs=1e-9,
    )
    assert "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in scores.signature


def test_rouge_is_the_mean_of_rouge_scores_f1() -> None:
    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    scorer = RougeScorer(kinds, use_stemmer=True)
    for predictions, references in _cases():
        best = [
            scorer.score_multi(accepted, prediction)
            for prediction, accepted in zip(predictions, references, strict=True)
        ]
        expected = {kind: np.mean([scores[kind].fmeasure for scores in best]) for kind in kinds}
        assert agreed("rouge", "text", predictions, references) == pytest.approx(expected, abs=1e-9)


def test_rouge_by_hand() -> None:
    found = agreed("rouge", "text", ["the cat sat"], [["the cats sat down"]])  # stemmed: cat, cat
    assert found["rouge1"] == pytest.approx(2 * 3 / (3 + 4))
    assert found["rouge2"] == pytest.approx(2 * 2 / (2 + 3))


def test_chinese_is_split_into_characters() -> None:
    measure = make_measure("bleu", "text", Settings(target_lang="zh"))
    assert measure.reference(["我爱北京天安门"], [["我爱北京天安门"]])["bleu"] == pytest.approx(100)
    assert "tok:zh" in measure.signature()


def test_a_tokenizer_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(**settings: object) -> None:
        raise RuntimeError("Please install the following extra")

    monkeypatch.setattr("sacrebleu.metrics.BLEU", missing)
    with pytest.raises(ConfigError, match="'ja' needs a tokenizer") as caught:
        compute(["bleu"], ["x"], ["x"], target_lang="ja")
    assert "sacrebleu[ja]" in str(caught.value.hint)
