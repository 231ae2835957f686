"""Recipes: YAML and flags -> config, and back."""

from dataclasses import replace
from pathlib import Path

import pytest

from llmctl.config import EvalConfig, GenerateConfig, PretrainConfig
from llmctl.errors import ConfigError
from llmctl.recipe import resolve, suggestion, to_yaml
from llmctl.recipe_file import Given, Scalar


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def flag(name: str, text: str) -> dict[str, Given]:
    return {name: Given(Scalar(text), "--" + name.replace("_", "-"))}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("3E5", 3e5),
        (".5", 0.5),
        ("1_000", 1000),
        ("0x1f", "0x1f"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("1:30", "1:30"),  # YAML 1.1 makes 90 of it
        ("2026-01-01", "2026-01-01"),
        ("1.2.3", "1.2.3"),
        ("", None),
    ],
)
def test_scalars_are_what_people_mean(text: str, value: object) -> None:
    assert Scalar(text).value == value
    assert type(Scalar(text).value) is type(value)
    assert Scalar(text, plain=False).value == text


def test_values_take_the_type_of_their_field(tmp_path: Path) -> None:
    recipe = write(
        tmp_path,
        "learning_rate: 1e-4\nmax_steps: 1e3\nrun_name: 2024\nbf16: false\nreport_to: wandb\ntext_column: 'no'\n",
    )
    config = resolve(PretrainConfig, recipe, {})
    assert config == replace(
        PretrainConfig(),
        learning_rate=1e-4,
        max_steps=1000,
        run_name="2024",
        bf16=False,
        report_to=("wandb",),
        text_column="no",
    )


def test_a_flag_overrides_the_recipe_which_overrides_the_default(tmp_path: Path) -> None:
    recipe = write(tmp_path, "learning_rate: 1e-4\nseed: 3\n")
    config = resolve(PretrainConfig, recipe, flag("seed", "4"))
    assert (config.learning_rate, config.seed, config.block_size) == (1e-4, 4, PretrainConfig().block_size)


def test_null_means_not_given(tmp_path: Path) -> None:
    assert resolve(PretrainConfig, write(tmp_path, "seed: null\nmax_steps:\n"), {}) == PretrainConfig()


def test_all_problems_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    recipe = write(
        tmp_path,
        "learnin_rate: 3\nseed: -1\nlr_scheduler_type: cosin\nbf16: yes\nseed: 3\n"
        "report_to: [wandb, x]\nmax_steps: 1.5\nblock_size: [1]\nmax_grad_norm: .nan\nnum_train_epochs: true\n",
    )
    with pytest.raises(ConfigError) as caught:
        resolve(PretrainConfig, recipe, flag("weight_decay", "-2"))
    lines = str(caught.value).splitlines()
    assert lines[0] == f"11 problems in {recipe}:"
    expected = [
        "--weight-decay should be 0 or more, found -2",
        f"{recipe}:1: unknown key 'learnin_rate'; did you mean learning_rate?",
        f"{recipe}:2: seed should be 0 or more, found -1",
        f"{recipe}:3: lr_scheduler_type should be one of linear, cosine, cosine_with_min_lr, "
        "warmup_stable_decay, polynomial, inverse_sqrt, constant, constant_with_warmup, "
        "found 'cosin'; did you mean cosine?",
        f"{recipe}:4: bf16 should be true or false, found 'yes'",
        f"{recipe}:5: 'seed' is given twice (first on line 2): leave one out",
        f"{recipe}:6: report_to should be one of none, all, tensorboard, wandb, mlflow, trackio, found 'x'",
        f"{recipe}:7: max_steps should be a whole number, found '1.5'",
        f"{recipe}:8: block_size takes one value, found a list",
        f"{recipe}:9: max_grad_norm should be a finite number, found .nan",
        f"{recipe}:10: num_train_epochs should be a number, found true",
    ]
    assert [line.strip() for line in lines[1:]] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x\n", ":1: YAML anchors and aliases are not used"),
        ("- 1\n", "a recipe is 'key: value' lines"),
        ("a: [1\n", ": not valid YAML"),
        ("seed:\n  deep: 1\n", ":1: 'seed' takes a value or a list of values"),
        ("seed: 1\x07\n", "not valid YAML"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(PretrainConfig, write(tmp_path, text), {})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        (b'seed: 1\nrun_name: "a\x1bb"\n', r"2: not valid YAML: '\x1b' may not stand in it", "as an escape"),
        (b"seed: 1\ndata: caf\xe9\n", "2: byte 0xe9 is not UTF-8", "save the file as UTF-8"),
        (b"# x\n\n- a\n", "3: a recipe is 'key: value' lines", "see recipes/"),
        (
            b'seed: 1\ndata: "a\nb: 1\n',
            "4: not valid YAML: found unexpected end of stream, while",
            "in quotes",
        ),
        (b"seed: *a\n", "1: YAML anchors and aliases are not used", "write the value out"),
    ],
)
def test_what_is_no_yaml_has_its_line_and_a_hint_of_its_own(
    tmp_path: Path, text: bytes, told: str, hint: str
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        resolve(PretrainConfig, recipe, {})
    assert caught.value.message.startswith(f"{recipe}:{told}")
    assert "\n" not in caught.value.message
    assert hint in str(caught.value.hint)


def test_a_missing_recipe_suggests_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "")
    with pytest.raises(ConfigError) as caught:
        resolve(PretrainConfig, tmp_path / "recipes.yaml", {})
    assert caught.value.hint == f"did you mean {tmp_path / 'recipe.yaml'}?"


def test_the_usual_names_of_keys_lead_to_ours(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("lr: 1\n")
    with pytest.raises(ConfigError, match="unknown key 'lr'; did you mean learning_rate"):
        resolve(PretrainConfig, recipe, {})
    assert suggestion("--lora-rank", ["--lora-r", "--lora-alpha"]) == "did you mean --lora-r?"
    assert suggestion("lr", ["sst2", "ner"]) is None


def test_a_recipe_that_is_not_utf8_or_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"data: caf\xe9\n")
    with pytest.raises(ConfigError, match="byte 0xe9 is not UTF-8"):
        resolve(PretrainConfig, path, {})
    path.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="at most 100,000"):
        resolve(PretrainConfig, path, {})


def test_the_resolved_recipe_re_reads_to_the_same_config(tmp_path: Path) -> None:
    config = replace(
        PretrainConfig(),
        data="1e5",
        text_column="null",
        learning_rate=1e-5,
        special_tokens=("null", "5", "a: b", "#x", "é", "[x]"),
        report_to=("wandb", "mlflow"),
        bf16=True,
    )
    recipe = write(tmp_path, to_yaml(config, header="a header\nof two lines"))
    assert resolve(PretrainConfig, recipe, {}) == config


def test_the_resolved_recipe_leaves_out_where_the_run_is_kept() -> None:
    text = to_yaml(replace(PretrainConfig(), run_name="x", runs_dir="y", resume="z"))
    assert not {"run_name", "runs_dir", "resume"} & {line.split(":")[0] for line in text.splitlines()}


def test_every_field_has_help_and_a_known_panel() -> None:
    for config in (PretrainConfig, GenerateConfig):
        text = to_yaml(config())
        assert text.count("\n# ") >= 3


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("time_limit", "90", 90.0),
        ("time_limit", "90s", 90.0),
        ("time_limit", "1h30m", 5400.0),
        ("time_limit", "1.5H", 5400.0),
        ("time_limit", "2d 12h", 216_000.0),
        ("max_tokens", "1e9", 10**9),
        ("max_tokens", "300M", 300_000_000),
        ("max_tokens", "1.1B", 1_100_000_000),
        ("max_tokens", "2k", 2000),
    ],
)
def test_times_and_amounts_have_units(tmp_path: Path, name: str, text: str, value: float) -> None:
    by_flag = resolve(PretrainConfig, None, flag(name, text))
    assert getattr(by_flag, name) == value
    assert type(getattr(by_flag, name)) is type(value)
    assert resolve(PretrainConfig, write(tmp_path, f"{name}: {text}\n"), {}) == by_flag
    assert resolve(PretrainConfig, write(tmp_path, to_yaml(by_flag)), {}) == by_flag


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("time_limit", "3 hours", "--time-limit should be a time such as 90s, 30m or 1h30m, found '3 hours'"),
        ("time_limit", "0m", "--time-limit should be above 0, found 0m"),
        ("max_tokens", "-3M", "--max-tokens should be a number such as 2e6, 300M or 1.5B, found '-3M'"),
        ("max_tokens", "1.5", "--max-tokens should be a number such as 2e6, 300M or 1.5B, found '1.5'"),
    ],
)
def test_a_wrong_unit_is_named(name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve(PretrainConfig, None, flag(name, text))
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seed: 1\ndata: " + "[" * 50_000, r"recipe\.yaml:2: nested too deeply"),
        ("seed: 1\ndata: !!python/object/apply:os.system [ls]", r"recipe\.yaml:2: YAML tags are not used"),
        ("seed: " + "9" * 5_000, r"recipe\.yaml:1: seed should be a finite number, found 9{77}\.\.\.$"),
        ("a: 1\n" * 30_000, "150,000 bytes; a recipe has at most 100,000"),
        ("".join(f"k{n}: 1\n" for n in range(30)), "and 10 more"),
    ],
)
def test_what_would_take_memory_or_time_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        resolve(PretrainConfig, write(tmp_path, text), {})


def test_a_recipe_that_is_no_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="is not a regular file"):
        resolve(PretrainConfig, Path("/dev/zero"), {})


def test_every_word_reads_back(tmp_path: Path) -> None:
    for word in ("a\x85b", "\u2028", "\u3000", "é\x85", "\ufeff"):
        config = PretrainConfig(text_column=word, data=("x", word))
        assert resolve(PretrainConfig, write(tmp_path, to_yaml(config)), {}) == config


def test_sizes_that_would_take_all_memory_are_refused() -> None:
    for name, most in {"num_hidden_layers": "1000", "vocab_size": "1e\\+06"}.items():
        with pytest.raises(ConfigError, match=f"should be at most {most}, found 1000000000"):
            resolve(PretrainConfig, None, flag(name, "1000000000"))


def test_what_was_typed_is_asked_for_even_if_it_is_the_default(tmp_path: Path) -> None:
    usual = EvalConfig.num_beams
    config = resolve(EvalConfig, None, {"num_beams": Given(Scalar(str(usual)), "--num-beams")})
    assert config.asks_for("num_beams")
    assert not config.asks_for("num_resamples")
    assert config == EvalConfig(num_beams=usual)
    assert EvalConfig(num_resamples=7).asks_for("num_resamples")
