"""What reaches the terminal."""

import io
import json
import re
import sys

import pytest

from llmctl.cli import training_view
from llmctl.cli.console import Console, fitted, is_coloured, sanitise, table
from llmctl.cli.options import data_flags
from llmctl.config import TextData
from llmctl.runs import RunDir

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢 🐢 [bold]x[/bold]", "plain é 漢 🐢 [bold]x[/bold]"),
        ("\x1b]52;c;aGk=\x07", r"\x1b]52;c;aGk=\x07"),
        ("a\rb\x08\x7f", r"a\rb\x08\x7f"),
        ("\x9b31m", r"\x9b31m"),
        ("abc\u202edef\u2066", r"abc\u202edef\u2066"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("a\u2028b\ud800", r"a\u2028b\ud800"),
    ],
)
def test_control_characters_are_shown_not_obeyed(text: str, shown: str) -> None:
    assert sanitise(text) == shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert is_coloured(Terminal())
    assert not is_coloured(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not is_coloured(Terminal())


def test_a_dumb_terminal_gets_lines_without_escapes(monkeypatch: pytest.MonkeyPatch, run: RunDir) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    console = Console()
    with console.bar("reading", 10, "documents") as advance:
        advance(10)
    with console.training(2, 0, run) as tell:
        for event in EVENTS:
            tell(event)
    console.warn("a warning")
    assert "\x1b" not in terminal.getvalue()
    assert terminal.getvalue().startswith("step 1 of 2: loss 6.000")


def test_quiet_keeps_warnings_and_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.note("a note")
    console.hint("next:", "llmctl eval")
    console.warn("a warning\x1b")
    console.result({"value": 1}, "text")
    out, err = capsys.readouterr()
    assert out == "text\n"
    assert err == "warning: a warning\\x1b\n"


def test_talk_is_wrapped_at_words_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("NO_COLOR", "1")
    note = "held out 12 of 600 documents for validation: corpus/a-rather-long-name-of-a-file.txt"
    command = "llmctl eval runs/a-name --data some-text.txt"
    for stream, expected in (
        (io.StringIO(), [note, f"warning: {note}", f"judge it:  {command}"]),
        (
            Terminal(),
            [
                "held out 12 of 600 documents",
                "    for validation:",
                "    corpus/a-rather-long-name-of-a-file.txt",
                "warning: held out 12 of 600",
                "    documents for validation:",
                "    corpus/a-rather-long-name-of-a-file.txt",
                f"judge it:  {command}",
            ],
        ),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        console = Console()
        console.note(note)
        console.warn(note)
        console.hint("judge it:", command)
        assert stream.getvalue().splitlines() == expected


def test_lines_stay_lines_when_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    text = "3 problems:\n  one is rather long to tell\n  two"
    assert fitted(text, Terminal()).split("\n") == [
        "3 problems:",
        "  one is rather long to",
        "    tell",
        "  two",
    ]
    assert fitted(text, io.StringIO()) == text


def test_a_warning_is_coloured_when_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(sys, "stderr", Terminal())
    Console().warn("a word to the wise")
    assert sys.stderr.getvalue() == "\x1b[33mwarning:\x1b[0m a word to\n    the wise\n"  # type: ignore[attr-defined]


def test_json_is_one_object_and_refuses_nan(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(as_json=True)
    console.result({"text": "é\x1b"}, "")
    assert json.loads(capsys.readouterr().out) == {"text": "é\x1b"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        console.result({"value": float("nan")}, "")


def test_streamed_data_is_exact_in_a_pipe_and_safe_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, expected in ((io.StringIO(), "a\x1b[31m"), (Terminal(), "a\\x1b[31m")):
        monkeypatch.setattr(sys, "stdout", stream)
        Console().write("a\x1b[31m")
        assert stream.getvalue() == expected


def test_a_table_is_aligned() -> None:
    assert table(["name", "n"], [["a", "1"], ["long\x1b", "1,000"]]).splitlines() == [
        "name          n",
        "a             1",
        "long\\x1b  1,000",
    ]


def test_the_curve_falls_as_the_loss_falls() -> None:
    assert training_view.curve([8.0, 6.0, 4.0, 2.0, 1.0], 5) == "█▆▄▂▁"
    assert training_view.curve([3.0, 3.0], 10) == "▁▁"
    assert len(training_view.curve([float(n) for n in range(1000)], 48)) == 48


@pytest.mark.parametrize(("seconds", "text"), [(9.6, "10s"), (75, "1m 15s"), (3661, "1h 01m")])
def test_durations_read_easily(seconds: float, text: str) -> None:
    assert training_view.duration(seconds) == text


EVENTS = [
    {"step": 1, "loss": 6.0, "learning_rate": 1e-3, "tokens_per_second": 5000.0},
    {"step": 2, "loss": 3.0, "learning_rate": 1e-3, "tokens_per_second": 5000.0},
    {"step": 2, "eval_loss": 2.5, "eval_perplexity": 12.18, "eval_runtime": 1.0},
]


def test_a_pipe_gets_plain_lines() -> None:
    lines: list[str] = []
    with training_view.plain(2, 0, lines.append) as tell:
        for event in EVENTS:
            tell(event)
    assert lines[0].startswith("step 1 of 2: loss 6.000, learning rate 1.00e-03, 5,000 tokens/s")
    assert lines[-1] == "step 2 of 2: validation loss 2.5, perplexity 12.18"


def test_the_norm_of_the_gradient_is_shown_and_how_often_it_was_clipped() -> None:
    lines: list[str] = []
    for clipped in (0.0, 0.35):
        with training_view.plain(2, 0, lines.append) as tell:
            tell({**EVENTS[0], "grad_norm": 1.234, "clipped": clipped})
    assert "learning rate 1.00e-03, gradient norm 1.23, 5,000 tokens/s" in lines[0]
    assert "gradient norm 1.23 (35% clipped), 5,000 tokens/s" in lines[1]


def test_time_left_is_told_by_the_steps_of_this_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumed after 900 of 1,000 steps, 10 more took 20 seconds: 90 take 180."""
    clock = iter([0.0, 20.0, 20.0])
    monkeypatch.setattr(training_view.time, "monotonic", lambda: next(clock))
    lines: list[str] = []
    with training_view.plain(1000, 900, lines.append) as tell:
        tell({**EVENTS[0], "step": 910})
    assert lines[0].endswith(", 3m 00s left")


def test_the_panel_of_a_resumed_run_begins_where_the_run_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with training_view.live(1000, 900):
        pass
    assert "900 of 1,000" in ANSI.sub("", terminal.getvalue())


def test_a_terminal_gets_a_live_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with training_view.live(2, 0) as tell:
        for event in EVENTS:
            tell(event)
    shown = ANSI.sub("", terminal.getvalue())
    assert "2 of 2" in shown
    assert "loss 3.000" in shown
    assert "perplexity 12.18" in shown
    assert "█▁" in shown


def test_the_curve_of_a_resumed_run_begins_where_the_run_began(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    before = [{"step": 1, "loss": 9.0}, {"step": 2, "loss": float("nan")}, {"step": 3, "loss": "edited"}]
    with training_view.live(6, 3, before) as tell:
        tell({**EVENTS[1], "step": 4})
    shown = ANSI.sub("", terminal.getvalue())
    assert "9.00 -> 3.00" in shown
    assert "█▁" in shown


def test_hints_carry_the_options_that_say_what_is_read() -> None:
    config = TextData(data="my book.txt", sample_by="line", encoding="latin-1")
    assert data_flags(config) == " --data 'my book.txt' --encoding latin-1 --sample-by line"
    assert data_flags(TextData()) == ""


def test_json_is_safe_to_print_and_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    foreign = {"label": "é \x1b]52;c;aGk=\x07 \x9b31m \x7f \u202e \u2028"}
    Console(as_json=True).result(foreign, "")
    printed = capsys.readouterr().out
    assert json.loads(printed) == foreign
    assert sanitise(printed) == printed
    assert "é" in printed


@pytest.mark.parametrize("view", ["plain", "live"])
def test_what_a_training_shows_of_text_and_names_is_safe(view: str) -> None:
    foreign = "\x1b]52;c;aGk=\x07\u202e"
    said: list[str] = []
    events = [
        {"step": 1, "sample": f"a {foreign}"},
        {"step": 1, "eval_loss": 1.0, f"eval_{foreign}": 2.0},
        {"step": 1, "skipped": foreign, "examples": []},
    ]
    if view == "plain":
        with training_view.plain(2, 0, said.append) as tell:
            for event in events:
                tell(event)
    else:
        panel = training_view._Panel(2, 0)
        for event in events:
            panel.tell(event)
        said = [panel.sample, panel.evaluation, panel.skipped]
    assert len(said) == 3
    for line in said:
        assert r"\x1b]52;c;aGk=\x07\u202e" in line
        assert "\x1b" not in line
