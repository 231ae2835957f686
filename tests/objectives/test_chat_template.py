"""Chat templates: the turns that they mark, and what a stranger's template may not do."""

import threading
from typing import Any

import numpy as np
import pytest

from llmctl.data.chat import Message
from llmctl.errors import ModelError
from llmctl.objectives import chat_template
from llmctl.objectives.chat_template import ChatTemplate, RefusedError
from tests.objectives.chat_tokenizer import CHATML, chat_tokenizer

MARKED = CHATML.replace(
    "{{ message['content'] }}{{ '<|im_end|>\\n' }}",
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>\\n' }}{% endif %}",
)
LLAMA_2 = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<s>[INST] ' + m['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'].strip() + ' </s>' }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + eos_token }}\n"
    "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>' }}\n{% endif %}{% endfor %}"
)
TALK: list[Message] = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello "},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "So long"},
]


def turns(template: Any, messages: list[Message] = TALK) -> list[str]:
    found = template.render(messages)
    assert not found.unplaced
    return [found.text[begin:end] for begin, end in found.turns]


@pytest.mark.parametrize("source", [CHATML, MARKED])
def test_a_turn_ends_with_the_mark_that_ends_it(source: str) -> None:
    assert turns(ChatTemplate(chat_tokenizer(source))) == ["Hello <|im_end|>", "So long<|im_end|>"]


def test_other_families_turns() -> None:
    llama = ChatTemplate(chat_tokenizer(LLAMA_2, marks=("<s>", "</s>")))
    assert turns(llama) == [" Hello </s>", " So long </s>"]
    zephyr = ChatTemplate(chat_tokenizer(ZEPHYR, eos="</s>"))
    assert turns(zephyr) == ["Hello </s>", "So long</s>"]


def test_marked_turns_are_those_of_plain_transformers() -> None:
    tokenizer = chat_tokenizer(MARKED)
    expected = tokenizer.apply_chat_template(TALK, return_assistant_tokens_mask=True, return_dict=True)
    found = ChatTemplate(tokenizer).render(TALK)
    offsets = np.array(tokenizer(found.text, return_offsets_mapping=True)["offset_mapping"])
    ours = sum(((offsets[:, 1] > begin) & (offsets[:, 0] < end)).astype(int) for begin, end in found.turns)
    assert expected["assistant_masks"] == list(ours)


def test_a_conversation_that_the_assistant_begins_has_no_place_for_its_first_turn() -> None:
    found = ChatTemplate(chat_tokenizer(CHATML)).render(TALK[1:])
    assert found.unplaced == 1
    assert [found.text[begin:end] for begin, end in found.turns] == ["So long<|im_end|>"]


def test_a_refusal_says_why() -> None:
    with pytest.raises(RefusedError, match="not so"):
        ChatTemplate(chat_tokenizer("{{ raise_exception('not so') }}")).render(TALK)
    with pytest.raises(RefusedError, match="Expected an expression"):
        ChatTemplate(chat_tokenizer("{% if %}" + CHATML + "{{ }}")).render(TALK)
    with pytest.raises(RefusedError, match="unsafe"):
        ChatTemplate(chat_tokenizer("{{ messages.__class__.__mro__ }}")).render(TALK)


def test_a_template_may_not_run_for_ever_nor_write_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
    with pytest.raises(ModelError, match="makes 9,000,000 characters of one conversation"):
        ChatTemplate(chat_tokenizer("{{ 'x' * 9000000 }}")).render(TALK)
    monkeypatch.setattr(chat_template, "MAX_SECONDS", 0.2)
    with pytest.raises(ModelError, match=r"takes longer than 0\.2 s for one conversation"):
        ChatTemplate(chat_tokenizer(loop)).render(TALK)
    with pytest.raises(ModelError, match="has 200,001 characters"):
        ChatTemplate(chat_tokenizer("x" * 200_001))


def test_beside_the_main_thread_there_is_no_limit_of_time() -> None:
    found: list[list[str]] = []
    template = ChatTemplate(chat_tokenizer(CHATML))
    thread = threading.Thread(target=lambda: found.append(turns(template)))
    thread.start()
    thread.join()
    assert len(found) == 1


@pytest.mark.parametrize("source", ["{{ 'x' * 10 ** 10 }}", "{{ '%010000000000d' % 1 }}"])
def test_a_template_may_not_take_all_memory(source: str) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(ModelError, match="takes more than 512 MiB for one conversation"):
        ChatTemplate(chat_tokenizer(source)).render(TALK)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
