#!/usr/bin/env bash
# Trains the embedded models further, on whatever there is: a CPU, a GPU, several with accelerate.
# A stage that was stopped, or whose machine went away, goes on from its last checkpoint.
#
#     bash recipes/train.sh DATA STAGE...       # DATA as `python -m recipes.data build` makes it
#
#     vqgan         from the shipped one
#     features      on from runs/vqgan, with features of the CLIP; copy its result to weights/vqgan
#     clip          from the shipped one; its result is to be copied to weights/clip before the next
#     encode        codes and embeddings of the pictures, by weights/vqgan and weights/clip
#     grow          two blocks and styles more for the shipped transformer of version 3: runs/grown
#     transformer   from the shipped one, or from START, on what was encoded
#     judge         of R-precision, from START, which recipes/imagenet_features.py makes
#
# Results lie in runs/STAGE/best. STEPS=9000 sets the steps, PROGRAM what runs vqclip, for instance
# PROGRAM="accelerate launch -m vqclip".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -ge 2 ] || { sed -n '2,18s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
data=$1 program=${PROGRAM:-vqclip}
shift

run() { # command, recipe, further words
    $program $1 "recipes/$2.yaml" --set "data.sources.0.path=$data/captions.jsonl" "${@:3}"
}

train() { # kind, recipe, where to start, further words
    run "train $1" "$2" --output "runs/$2" --resume --set "start=$3" \
        ${STEPS:+--set "train.steps=$STEPS"} "${@:4}"
}

for stage; do
    case $stage in
    vqgan) train vqgan vqgan weights/vqgan ;;
    features)
        train vqgan vqgan runs/vqgan/best --output runs/features --set loss.perceptual=clip \
            --set loss.perceptual_weight=0.15 --set train.learning_rate=2e-4 --set seed=5
        ;;
    clip) train clip clip weights/clip ;;
    encode) run encode transformer ;;
    grow)
        python recipes/grow.py weights/transformer runs/grown --layers 6 --styles 3d emoji flat \
            photo "clip art" model icon silhouette cartoon painting landscape sprite
        ;;
    transformer)
        train transformer transformer "${START:-weights/transformer}" --set start_partial=true
        ;;
    judge) train clip judge "${START:-recipes/judge-start}" --set start_partial=true ;;
    *) echo "no such stage: $stage" >&2; exit 2 ;;
    esac
done
