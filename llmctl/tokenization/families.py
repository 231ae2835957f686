"""What each architecture family puts around the text: special tokens and post-processor, as data."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from llmctl.errors import ConfigError


@dataclass(frozen=True)
class Family:
    """What an architecture's own tokenizers put around the text.

    Attributes:
        roles: ``pad_token``, ``bos_token``, ... and their tokens, in the order of their ids (from 0).
        single: template of one text, as ``TemplateProcessing`` reads it.
        pair: template of two texts.
        token_types: the models take ``token_type_ids``.
        mask_takes_space: the mask token swallows the space before it.
        sentinels: T5's ``<extra_id_N>``, at the end of the vocabulary, number 0 last.
        further: special tokens that play no role, whose ids follow.
        splits_as_qwen: byte-level BPE over NFC text cut by Qwen's pattern, and nothing else: beside the model's
            config transformers rebuilds any tokenizer so, and would not load another as it was trained.
    """

    roles: Mapping[str, str]
    single: str = "$A:0"
    pair: str = "$A:0 $B:1"
    token_types: bool = False
    mask_takes_space: bool = False
    sentinels: int = 0
    further: tuple[str, ...] = ()
    splits_as_qwen: bool = False


# Every family has a padding token that is not its end-of-text token: masking padding never hides an ending.
_GPT2 = Family({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"})
_QWEN = Family(
    {"eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|pad|>"},
    further=("<|im_start|>", "<|im_end|>"),
    splits_as_qwen=True,
)
_OPT = Family(
    {"pad_token": "<pad>", "bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>"},
    single="</s>:0 $A:0",
    pair="</s>:0 $A:0 </s>:1 $B:1",
)
_BLOOM = Family({"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"})
_LLAMA = Family(
    {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"},
    single="<s>:0 $A:0",
    pair="<s>:0 $A:0 <s>:1 $B:1",
)
_GEMMA = Family(
    {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>"},
    single="<bos>:0 $A:0",
    pair="<bos>:0 $A:0 <bos>:1 $B:1",
)
_BERT = Family(
    {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    },
    single="[CLS]:0 $A:0 [SEP]:0",
    pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
    token_types=True,
)
_DISTILBERT = replace(_BERT, token_types=False)
_MODERNBERT = replace(_DISTILBERT, mask_takes_space=True)
_ALBERT = replace(_BERT, roles=dict(_BERT.roles) | {"pad_token": "<pad>", "unk_token": "<unk>"})
_ROBERTA = Family(
    {
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "cls_token": "<s>",
        "sep_token": "</s>",
    },
    single="<s>:0 $A:0 </s>:0",
    pair="<s>:0 $A:0 </s>:0 </s>:0 $B:0 </s>:0",
    mask_takes_space=True,
)
_T5 = Family(
    {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
    single="$A:0 </s>:0",
    pair="$A:0 </s>:0 $B:0 </s>:0",
    sentinels=100,
)
_MARIAN = replace(_T5, sentinels=0)
_PEGASUS = replace(_MARIAN, roles=dict(_T5.roles) | {"mask_token": "<mask_2>"}, mask_takes_space=True)

_ARCHITECTURES = (
    (_GPT2, "gpt2 gpt_neo gptj gpt_neox gpt_bigcode codegen phi starcoder2 olmo olmo2 olmo3 olmoe"),
    (_GPT2, "stablelm mamba mamba2 falcon_mamba rwkv mpt falcon"),
    (_QWEN, "qwen2 qwen2_moe qwen3 qwen3_moe qwen3_next"),
    (_OPT, "opt"),
    (_BLOOM, "bloom"),
    (_LLAMA, "llama mistral mixtral ministral granite phi3 smollm3"),
    (_GEMMA, "gemma gemma2 gemma3 gemma3_text recurrent_gemma"),
    (_BERT, "bert squeezebert electra convbert mobilebert megatron-bert ernie deberta deberta-v2"),
    (_DISTILBERT, "distilbert"),
    (_MODERNBERT, "modernbert"),
    (_ALBERT, "albert"),
    (_ROBERTA, "roberta xlm-roberta xlm-roberta-xl roberta-prelayernorm longformer camembert bart led"),
    (_T5, "t5 mt5 umt5 switch_transformers longt5"),
    (_PEGASUS, "pegasus"),
    (_MARIAN, "marian"),
)
FAMILIES = {name: family for family, names in _ARCHITECTURES for name in names.split()}


def family_of(architecture: str) -> Family:
    """The family that ``architecture`` (a ``model_type`` of ``AutoConfig``) belongs to.

    Raises:
        ConfigError: none is known.
    """
    if architecture in FAMILIES:
        return FAMILIES[architecture]
    near = difflib.get_close_matches(architecture, FAMILIES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(FAMILIES)}"
    raise ConfigError(f"no tokenizer conventions are known for the architecture {architecture!r}", hint=hint)
