#!/bin/sh
# make demo: from nothing to a story told by a model of one's own, and from a text to a classifier, in a few minutes on
# two cores. Needs llmctl on the PATH. The first argument is where runs are kept.
set -e
runs=${1:-runs}
time=$(date +%Y%m%d-%H%M%S)
name=demo-$time
export LLMCTL_RUNS_DIR="$runs"

echo "== 1 of 6: a tokenizer and a model learn from stories that come with llmctl"
llmctl pretrain --run-name "$name"
echo
echo "== 2 of 6: how well it reads stories that it has never seen"
llmctl eval "$name"
echo
echo "== 3 of 6: a story of its own"
llmctl generate "Once upon a time" --model "$name" --temperature 0.5 --seed 1
echo
echo "== 4 of 6: a small BERT reads reviews, some of whose words are hidden"
llmctl pretrain --recipe recipes/pretrain/bert.yaml --max-steps 600 --hidden-size 128 --num-hidden-layers 2 \
  --num-attention-heads 4 --vocab-size 2048 --run-name "reader-$time" --quiet
echo
echo "== 5 of 6: it learns which reviews are good ones"
llmctl finetune --task classification --data builtin:reviews --model "reader-$time" --learning-rate 5e-4 \
  --run-name "critic-$time" --quiet
echo
echo "== 6 of 6: what it says of a new one"
llmctl predict "Everyone says that the plot is dull. I say that it is wonderful." --model "critic-$time"
echo
echo "More: llmctl generate \"Once upon a time\"   (in this shell: .venv/bin/llmctl)"
