#!/bin/sh
# make demo: from nothing to a story told by a model of one's own, in under five minutes on two cores.
# Needs llmctl on the PATH. The first argument is where runs are kept.
set -e
runs=${1:-runs}
name=demo-$(date +%Y%m%d-%H%M%S)

echo "== 1 of 3: a tokenizer and a model learn from stories that come with llmctl"
llmctl pretrain --runs-dir "$runs" --run-name "$name"
echo
echo "== 2 of 3: how well it reads stories that it has never seen"
llmctl eval "$runs/$name"
echo
echo "== 3 of 3: a story of its own"
llmctl generate "Once upon a time" --model "$runs/$name" --temperature 0.5 --seed 1
echo
echo "More: llmctl generate \"Once upon a time\"   (in this shell: .venv/bin/llmctl)"
