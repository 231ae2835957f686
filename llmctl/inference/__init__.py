"""What a language model is used for: scoring text, writing it, and filling gaps in it."""

from llmctl.inference.filling import fill
from llmctl.inference.generation import generate_batch, stream
from llmctl.inference.perplexity import Perplexity, evaluate_documents, first_token_context
from llmctl.inference.rows import Continuation, Prompt
from llmctl.inference.scoring import Scores, evaluating, score
from llmctl.inference.text import decoded
from llmctl.limits import num_positions

__all__ = [
    "Continuation",
    "Perplexity",
    "Prompt",
    "Scores",
    "decoded",
    "evaluate_documents",
    "evaluating",
    "fill",
    "first_token_context",
    "generate_batch",
    "num_positions",
    "score",
    "stream",
]
