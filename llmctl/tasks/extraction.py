"""Tasks whose answer stands in the text: tags of words, and answers to questions."""

from llmctl.tasks.making import CONVERTED, MULTILINGUAL_ENCODER, defaults, of

_tagged = of("ner", tokens="tokens", label="ner_tags")

_TAGGING = (
    _tagged("conll2003", "lhoestq/conll2003", 14_041, "other", "persons, places, organisations in news"),
    _tagged(
        "wnut_17",
        "leondz/wnut_17",
        3_394,
        "cc-by-4.0",
        "new and rare names in tweets and comments",
        revision=CONVERTED,
    ),
    _tagged(
        "wikiann",
        "unimelb-nlp/wikiann:en",
        20_000,
        "unknown",
        "persons, places, organisations in Wikipedia (English)",
    ),
    _tagged(
        "ncbi_disease", "ncbi/ncbi_disease", 5_433, "unknown", "diseases in abstracts", revision=CONVERTED
    ),
)

_answers = of("qa", id="id", question="question", context="context", answers="answers")

_QUESTIONS = (
    _answers("squad", "rajpurkar/squad", 87_599, "cc-by-sa-4.0", "questions on Wikipedia's paragraphs"),
    _answers(
        "squad_v2",
        "rajpurkar/squad_v2",
        130_319,
        "cc-by-sa-4.0",
        "the same, and questions that have no answer",
        metrics=("squad_v2",),
    ),
    _answers(
        "adversarial_qa",
        "UCLNLP/adversarial_qa:adversarialQA",
        30_000,
        "cc-by-sa-4.0",
        "questions on which models failed",
    ),
    _answers(
        "xquad",
        "google/xquad:xquad.en",
        1_190,
        "cc-by-sa-4.0",
        "a small part of SQuAD (English), one split",
        train_split="validation",
    ),
    _answers(
        "tydiqa",
        "google-research-datasets/tydiqa:secondary_task",
        49_881,
        "apache-2.0",
        "questions in nine languages (TyDi QA, GoldP)",
        defaults=defaults("qa", model=MULTILINGUAL_ENCODER),
    ),
)

TASKS = (*_TAGGING, *_QUESTIONS)
