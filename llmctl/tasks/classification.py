"""Tasks whose answer is a class, a number or a set of labels for a text or a pair of texts."""

from typing import Any

from llmctl.tasks.making import CONVERTED, MULTILINGUAL_ENCODER, defaults, of

_ACCURACY = ("accuracy",)
_MACRO: dict[str, Any] = {"metrics": ("f1", "accuracy"), "metric_for_best_model": "f1_macro"}
_LONG = defaults("classification", max_length=512, per_device_train_batch_size=16)
_ONCE = defaults("classification", num_train_epochs=1.0, max_length=256)

_sentence = of("classification", text="sentence", label="label")
_sentences = of("classification", text="sentence1", text_pair="sentence2", label="label")
_inference = of("classification", text="premise", text_pair="hypothesis", label="label")
_text = of("classification", text="text", label="label")

_GLUE = (
    _sentence(
        "cola",
        "nyu-mll/glue:cola",
        8_551,
        "other",
        "whether a sentence is grammatical (GLUE)",
        metrics=("matthews_correlation", "accuracy"),
        metric_for_best_model="matthews_correlation",
    ),
    _sentence("sst2", "nyu-mll/glue:sst2", 67_349, "other", "sentiment of film review phrases (GLUE)"),
    _sentences(
        "mrpc", "nyu-mll/glue:mrpc", 3_668, "other", "whether two sentences of news mean the same (GLUE)"
    ),
    of("classification", text="question1", text_pair="question2", label="label")(
        "qqp", "nyu-mll/glue:qqp", 363_846, "other", "whether two questions of Quora mean the same (GLUE)"
    ),
    of("regression", text="sentence1", text_pair="sentence2", label="label")(
        "stsb", "nyu-mll/glue:stsb", 5_749, "other", "how alike two sentences are, 0 to 5 (GLUE)"
    ),
    _inference(
        "mnli",
        "nyu-mll/glue:mnli",
        392_702,
        "other",
        "whether a sentence follows from another, many genres (GLUE)",
        metrics=_ACCURACY,
        validation_split="validation_matched",
    ),
    of("classification", text="question", text_pair="sentence", label="label")(
        "qnli",
        "nyu-mll/glue:qnli",
        104_743,
        "other",
        "whether a sentence answers a question (GLUE)",
        metrics=_ACCURACY,
    ),
    _sentences(
        "rte",
        "nyu-mll/glue:rte",
        2_490,
        "other",
        "whether a sentence follows from another (GLUE)",
        metrics=_ACCURACY,
    ),
    _sentences(
        "wnli",
        "nyu-mll/glue:wnli",
        635,
        "other",
        "to what a pronoun refers, as inference (GLUE)",
        metrics=_ACCURACY,
    ),
)

_PAIRS = (
    of("classification", text="question", text_pair="passage", label="label")(
        "boolq",
        "aps/super_glue:boolq",
        9_427,
        "other",
        "yes or no to a question on a passage",
        defaults=_LONG,
    ),
    _inference(
        "cb", "aps/super_glue:cb", 250, "other", "whether a speaker commits to a clause (SuperGLUE)", **_MACRO
    ),
    _inference(
        "snli",
        "stanfordnlp/snli",
        550_152,
        "cc-by-sa-4.0",
        "whether a sentence follows from a caption",
        metrics=_ACCURACY,
    ),
    *(
        _inference(
            f"anli_r{turn}",
            "facebook/anli",
            examples,
            "cc-by-nc-4.0",
            f"inference made hard by adversaries, round {turn}",
            metrics=_ACCURACY,
            train_split=f"train_r{turn}",
            validation_split=f"dev_r{turn}",
        )
        for turn, examples in ((1, 16_946), (2, 45_460), (3, 100_459))
    ),
    _sentences(
        "paws",
        "google-research-datasets/paws:labeled_final",
        49_401,
        "other",
        "whether two sentences of the same words mean the same",
    ),
)

_SENTIMENT = (
    _text("imdb", "stanfordnlp/imdb", 25_000, "other", "sentiment of whole film reviews", defaults=_LONG),
    _text(
        "rotten_tomatoes",
        "cornell-movie-review-data/rotten_tomatoes",
        8_530,
        "unknown",
        "sentiment of sentences of film reviews",
    ),
    _text(
        "sst5",
        "SetFit/sst5",
        8_544,
        "unknown",
        "sentiment of sentences of film reviews, five grades",
        columns={"label": "label_text"},
        metrics=_ACCURACY,
    ),
    _text(
        "yelp_polarity",
        "fancyzhx/yelp_polarity",
        560_000,
        "unknown",
        "sentiment of Yelp reviews",
        defaults=_ONCE,
    ),
    _text(
        "yelp_review_full",
        "Yelp/yelp_review_full",
        650_000,
        "other",
        "stars of Yelp reviews, 1 to 5",
        defaults=_ONCE,
    ),
    _text(
        "amazon_polarity",
        "fancyzhx/amazon_polarity",
        3_600_000,
        "apache-2.0",
        "sentiment of Amazon reviews",
        columns={"text": "content"},
        defaults=_ONCE,
    ),
    _text(
        "twitter_finance",
        "zeroshot/twitter-financial-news-sentiment",
        9_543,
        "mit",
        "bearish, bullish or neutral tweets on finance",
    ),
    _text("emotion", "dair-ai/emotion", 16_000, "other", "six emotions of tweets"),
    *(
        _text(
            f"tweet_{name}", f"cardiffnlp/tweet_eval:{name}", examples, "unknown", summary, **(_MACRO | more)
        )
        for name, examples, summary, more in (
            ("emoji", 45_000, "which of 20 emoji a tweet had (TweetEval)", {}),
            ("emotion", 3_257, "four emotions of tweets (TweetEval)", {}),
            ("hate", 9_000, "hate against women or immigrants (TweetEval)", {}),
            ("irony", 2_862, "whether a tweet is ironic (TweetEval)", {"metric_for_best_model": "f1"}),
            ("offensive", 11_916, "offensive tweets (TweetEval)", {}),
            (
                "sentiment",
                45_615,
                "sentiment of tweets (TweetEval)",
                {"metrics": ("recall", "f1", "accuracy"), "metric_for_best_model": "recall_macro"},
            ),
        )
    ),
)

_TOPICS = (
    _text("ag_news", "fancyzhx/ag_news", 120_000, "unknown", "four topics of news"),
    _text(
        "dbpedia_14",
        "fancyzhx/dbpedia_14",
        560_000,
        "cc-by-sa-3.0",
        "14 classes of Wikipedia's articles",
        columns={"text": "content"},
        defaults=_ONCE,
    ),
    _text(
        "20_newsgroups",
        "SetFit/20_newsgroups",
        11_314,
        "unknown",
        "20 newsgroups",
        columns={"label": "label_text"},
        defaults=_LONG,
    ),
    _text(
        "trec",
        "CogComp/trec",
        5_452,
        "unknown",
        "what a question asks for, six classes",
        columns={"label": "coarse_label"},
        revision=CONVERTED,
    ),
    _text("banking77", "legacy-datasets/banking77", 10_003, "cc-by-4.0", "77 intents of a bank's customers"),
    _text(
        "clinc_oos",
        "clinc/clinc_oos:plus",
        15_250,
        "cc-by-3.0",
        "150 intents, and questions out of scope",
        columns={"label": "intent"},
    ),
    _text(
        "ledgar",
        "coastalcph/lex_glue:ledgar",
        60_000,
        "cc-by-4.0",
        "100 topics of contract clauses",
        **_MACRO,
    ),
    _text(
        "sms_spam",
        "ucirvine/sms_spam",
        5_574,
        "unknown",
        "spam among text messages",
        columns={"text": "sms"},
        metrics=("f1", "accuracy"),
        metric_for_best_model="f1",
    ),
    _text(
        "hate_offensive",
        "tdavidson/hate_speech_offensive",
        24_783,
        "unknown",
        "hate speech, offensive language or neither in tweets",
        columns={"text": "tweet", "label": "class"},
        **_MACRO,
    ),
    _text(
        "language_id",
        "papluca/language-identification",
        70_000,
        "unknown",
        "which of 20 languages a text is in",
        columns={"label": "labels"},
        metrics=_ACCURACY,
        defaults=defaults("classification", model=MULTILINGUAL_ENCODER, num_train_epochs=1.0),
    ),
)

_REGRESSION = (
    of("regression", text="text", label="toxicity")(
        "civil_comments",
        "google/civil_comments",
        1_804_874,
        "cc0-1.0",
        "how toxic a comment is, 0 to 1",
        defaults=defaults("regression", num_train_epochs=1.0),
    ),
)

_labels = of("multilabel", text="text", label="labels")

_MULTILABEL = (
    _labels(
        "go_emotions",
        "google-research-datasets/go_emotions:simplified",
        43_410,
        "apache-2.0",
        "27 emotions, or none, of Reddit comments",
    ),
    _labels("unfair_tos", "coastalcph/lex_glue:unfair_tos", 5_532, "cc-by-4.0", "unfair terms of service"),
    _labels(
        "eurlex",
        "coastalcph/lex_glue:eurlex",
        55_000,
        "cc-by-4.0",
        "100 topics of European laws",
        defaults=defaults("multilabel", max_length=512, per_device_train_batch_size=16),
    ),
)

TASKS = (*_GLUE, *_PAIRS, *_SENTIMENT, *_TOPICS, *_REGRESSION, *_MULTILABEL)
