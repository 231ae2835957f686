"""Tasks whose answer is a text to write: summaries, translations, an assistant's turns."""

from llmctl.tasks.making import CONVERTED, defaults, of

_dialogue = of("summarization", text="dialogue", target="summary")
_document = of("summarization", text="document", target="summary")
_SUMMARY_ONCE = defaults("summarization", num_train_epochs=1.0)

_SUMMARIES = (
    _document(
        "xsum",
        "EdinburghNLP/xsum",
        204_045,
        "unknown",
        "one sentence for an article of the BBC",
        revision=CONVERTED,
        defaults=_SUMMARY_ONCE,
    ),
    of("summarization", text="article", target="highlights")(
        "cnn_dailymail",
        "abisee/cnn_dailymail:3.0.0",
        287_113,
        "apache-2.0",
        "highlights of news",
        defaults=_SUMMARY_ONCE,
    ),
    _dialogue("samsum", "knkarthick/samsum", 14_732, "cc-by-nc-nd-4.0", "chats of a messenger"),
    _dialogue("dialogsum", "knkarthick/dialogsum", 12_460, "cc-by-nc-sa-4.0", "everyday dialogues"),
    of("summarization", text="text", target="summary")(
        "billsum", "FiscalNote/billsum", 18_949, "cc0-1.0", "bills of the US Congress"
    ),
    _document(
        "multi_news",
        "alexfabbri/multi_news",
        44_972,
        "other",
        "several articles on one event",
        revision=CONVERTED,
    ),
)

_translation = of("translation")
_TRANSLATION_ONCE = defaults("translation", num_train_epochs=1.0)

_TRANSLATIONS = (
    _translation(
        "multi30k",
        "bentrevett/multi30k",
        29_000,
        "unknown",
        "captions, English to German",
        source_lang="en",
        target_lang="de",
    ),
    _translation(
        "opus_books",
        "Helsinki-NLP/opus_books:en-fr",
        127_085,
        "other",
        "books, English to French",
        source_lang="en",
        target_lang="fr",
    ),
    *(
        _translation(
            name,
            data,
            examples,
            "unknown",
            f"{what}, English to {language}",
            source_lang="en",
            target_lang=target,
            defaults=_TRANSLATION_ONCE,
        )
        for name, data, examples, what, language, target in (
            ("opus100_en_fr", "Helsinki-NLP/opus-100:en-fr", 1_000_000, "many sources", "French", "fr"),
            ("wmt14_en_de", "wmt/wmt14:de-en", 4_508_785, "news and parliament", "German", "de"),
            ("wmt14_en_fr", "wmt/wmt14:fr-en", 40_836_715, "news and parliament", "French", "fr"),
            ("wmt16_en_de", "wmt/wmt16:de-en", 4_548_885, "news and parliament", "German", "de"),
            ("wmt16_en_ro", "wmt/wmt16:ro-en", 610_320, "news and parliament", "Romanian", "ro"),
        )
    ),
)

_chat = of("chat", messages="messages")
_instructions = of("chat")  # two or three columns that become one exchange
_CHAT_ONCE = defaults("chat", num_train_epochs=1.0)

_CHATS = (
    _instructions("alpaca", "tatsu-lab/alpaca", 52_002, "cc-by-nc-4.0", "instructions with answers of GPT-3"),
    _instructions("alpaca_cleaned", "yahma/alpaca-cleaned", 51_760, "cc-by-4.0", "the same, mended"),
    _instructions(
        "dolly", "databricks/databricks-dolly-15k", 15_011, "cc-by-sa-3.0", "instructions by people"
    ),
    _instructions(
        "code_alpaca", "sahil2801/CodeAlpaca-20k", 20_022, "cc-by-4.0", "instructions to write code"
    ),
    _instructions("gsm8k", "openai/gsm8k:main", 7_473, "mit", "school mathematics, worked out"),
    _instructions(
        "orca_math",
        "microsoft/orca-math-word-problems-200k",
        200_035,
        "mit",
        "school mathematics, by GPT-4",
        defaults=_CHAT_ONCE,
    ),
    _chat(
        "everyday_chat",
        "HuggingFaceTB/everyday-conversations-llama3.1-2k",
        2_260,
        "apache-2.0",
        "short everyday conversations",
        train_split="train_sft",
        validation_split="test_sft",
    ),
    _chat(
        "no_robots", "HuggingFaceH4/no_robots", 9_500, "cc-by-nc-4.0", "instructions and answers by people"
    ),
    _chat(
        "ultrachat",
        "HuggingFaceH4/ultrachat_200k",
        207_865,
        "mit",
        "long conversations, made and filtered",
        train_split="train_sft",
        validation_split="test_sft",
        defaults=_CHAT_ONCE,
    ),
    _chat(
        "smol_smoltalk",
        "HuggingFaceTB/smol-smoltalk",
        460_341,
        "apache-2.0",
        "SmolTalk for models below 1B parameters",
        defaults=_CHAT_ONCE,
    ),
    _chat(
        "smoltalk",
        "HuggingFaceTB/smoltalk:all",
        1_043_917,
        "apache-2.0",
        "what SmolLM2 learnt to chat from",
        defaults=_CHAT_ONCE,
    ),
    _chat(
        "tulu_3",
        "allenai/tulu-3-sft-mixture",
        939_343,
        "odc-by",
        "what Tulu 3 learnt to chat from",
        defaults=_CHAT_ONCE,
    ),
    _chat(
        "slimorca",
        "Open-Orca/SlimOrca",
        517_982,
        "mit",
        "reasoned answers of GPT-4",
        columns={"messages": "conversations"},
        defaults=_CHAT_ONCE,
    ),
)

TASKS = (*_SUMMARIES, *_TRANSLATIONS, *_CHATS)
