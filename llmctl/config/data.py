"""Options of data: where it comes from, and how it becomes documents or examples."""

from dataclasses import dataclass
from typing import Literal

from llmctl.config.fields import Count, Fraction, Name, data_option, task_option


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Where data comes from and which parts of it are learnt from and judged by."""

    data: Name | None = data_option(
        None, "Hub data set (org/name[:subset]), file, folder, glob, or builtin:NAME[:SIZE]", path=True
    )
    text_column: Name | None = data_option(
        None, "column that holds the text", default_text="'text', else the only text column"
    )
    train_split: Name = data_option("train", "split to learn from")
    validation_split: Name | None = data_option(
        None, "split to judge by", default_text="validation, dev or valid where there is one, else held out"
    )
    validation_data: Name | None = data_option(None, "separate source to judge by", path=True)
    validation_fraction: Fraction = data_option(
        0.02, "share held out for validation when the data has no such split"
    )
    split_seed: int = data_option(0, "seed of the held-out split; independent of the training seed")
    encoding: Name = data_option("utf-8", "encoding of text files")


@dataclass(frozen=True, kw_only=True)
class TextData(DataSource):
    """Text, and how it becomes documents."""

    data: Name | tuple[Name, ...] = data_option(  # type: ignore[assignment]
        "builtin:stories",
        "Hub data set (org/name[:subset]), file, folder, glob, or builtin:stories[:SIZE]; repeatable, with a share "
        "of the training tokens behind each (a.txt:0.7) or behind none",
        path=True,
    )
    sample_by: Literal["document", "paragraph", "line"] = data_option(
        "document", "what one document of a plain text file is: the whole file, a paragraph or a line"
    )
    max_documents: Count | None = data_option(
        None, "read only the first N documents of a split", unit="documents", default_text="all"
    )
    on_bad_shard: Literal["stop", "skip"] = data_option(
        "stop",
        "when a file ends early, cannot be read or is not what it should be; skip goes on with the next",
    )


@dataclass(frozen=True, kw_only=True)
class Corpus(TextData):
    """Text to learn from, which may be more than a disk or a cache shall hold."""

    streaming: bool = data_option(
        False, "read and tokenise the text while training, in bounded memory and without a cache on disk"
    )
    buffer_size: Count = data_option(
        10_000,
        "documents of a stream that are shuffled together, as far as 16 MB of text hold them",
        unit="documents",
    )


@dataclass(frozen=True, kw_only=True)
class TaskData(DataSource):
    """Labelled examples: a task of the catalogue, or a kind of problem with data of one's own."""

    task: Name | None = task_option(
        None,
        "task of the catalogue (llmctl tasks), or classification, regression, multilabel, ner, qa, summarization, "
        "translation or chat with --data",
    )
    data: Name | None = data_option(
        None,
        "Hub data set (org/name[:subset]), file, folder, glob, or builtin:reviews[:SIZE]",
        default_text="the task's",
        path=True,
    )
    text_column: Name | None = data_option(
        None, "column of the text, or of its words (ner)", default_text="found by its usual names, and told"
    )
    text_pair_column: Name | None = data_option(
        None, "column of a second text", default_text="found by its usual names, and told"
    )
    label_column: Name | None = data_option(
        None,
        "column of the labels, or of the words' tags (ner)",
        default_text="found by its usual names, and told",
    )
    target_column: Name | None = data_option(
        None,
        "column of the text to write: summary, translation, answer",
        default_text="found by its usual names, and told",
    )
    question_column: Name | None = data_option(None, "column of the questions (qa)", default_text="question")
    context_column: Name | None = data_option(
        None, "column of the texts that hold the answers (qa)", default_text="context"
    )
    answers_column: Name | None = data_option(None, "column of the answers (qa)", default_text="answers")
    messages_column: Name | None = data_option(
        None, "column of the conversations (chat)", default_text="messages or conversations"
    )
    source_lang: Name | None = data_option(
        None, "language to translate from, as the columns or files name it", default_text="the first of two"
    )
    target_lang: Name | None = data_option(None, "language to translate to", default_text="the second of two")
    header: bool | None = data_option(
        None, "whether the first line of a CSV or TSV names the columns", default_text="looked at, and told"
    )
    validation_fraction: Fraction = data_option(
        0.1, "share held out for validation when the data has no such split"
    )
