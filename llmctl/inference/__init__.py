"""What a causal language model is used for: scoring text and writing it."""

from llmctl.inference.generation import generate_batch, stream
from llmctl.inference.perplexity import Perplexity, evaluate_documents, first_token_context
from llmctl.inference.rows import Continuation, Prompt
from llmctl.inference.scoring import Scores, evaluating, score
from llmctl.limits import num_positions

__all__ = [
    "Continuation",
    "Perplexity",
    "Prompt",
    "Scores",
    "evaluate_documents",
    "evaluating",
    "first_token_context",
    "generate_batch",
    "num_positions",
    "score",
    "stream",
]
