#!/usr/bin/env bash
# Continues training the built-in models on a CPU, a GPU, or several GPUs with accelerate. An
# interrupted stage resumes from its last checkpoint.
#
#     bash recipes/train.sh DATA STAGE...       # DATA: output of `python -m recipes.data build`
#
#     vqgan         trains the built-in VQGAN
#     features      continues runs/vqgan with CLIP features; copy the result to weights/vqgan
#     decoder       trains only the decoder of weights/vqgan; copy the result there
#     clip          trains the built-in CLIP model; copy the result to weights/clip
#     encode        encodes the images with weights/vqgan and weights/clip
#     grow          adds two blocks and styles to the transformer from version 3, in runs/grown
#     transformer   trains the built-in transformer, or START, on the encoded images
#     judge         trains the judge for R-precision from START, made by imagenet_features.py
#
# Results are saved in runs/STAGE/best. Set the number of steps with STEPS=9000, and the command that
# runs vqclip with PROGRAM, as in PROGRAM="accelerate launch -m vqclip".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -ge 2 ] || { sed -n '2,19s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
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
    decoder)
        loss="pixel: mix, perceptual: clip, perceptual_weight: 0.15, codebook_weight: 0"
        loss="$loss, freeze: [encoder, quant_conv, quantize]"
        STEPS=${STEPS:-4200} train vqgan vqgan weights/vqgan --output runs/decoder \
            --set "loss={$loss, border_weight: 3}" --set seed=11
        STEPS=600 train vqgan vqgan runs/decoder/best --output runs/corners --set seed=12 \
            --set "loss={$loss, border_weight: 6}" --set train.learning_rate=1.5e-4
        STEPS=2600 train vqgan vqgan runs/corners/best --output runs/plain --set seed=13 \
            --set "loss={$loss, border_weight: 9}" --set train.learning_rate=2.5e-4 \
            --set train.ema=0.995 --set data.composition.colour=0.45
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
