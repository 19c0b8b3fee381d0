#!/usr/bin/env bash
# Runs every benchmark and writes bench/results/<date>-<machine>.json and .md. Options are passed to each benchmark:
# bench/run.sh --tokens 1024 --chunks 2 --models smollm2 for a quick look. About two hours on two cores as it is.
set -euo pipefail
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$bench")

python=$("$bench/setup_venv")
cmake --build "$root/build/release" --target compare_logits output_error >&2
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT

files=()
for name in pruning_order task_dependence quantised_base score_speed score_memory compensation output_error q3ks_size \
    alignment prediction refinement logits_agreement hf_round_trip quantize_speed hf_to_gguf large_shapes speed; do
    printf 'bench: %s\n' "$name" >&2
    "$python" "$bench/$name.py" --cache "$parts/cache" -o "$parts/$name.json" "$@"
    files+=("$parts/$name.json")
done
mkdir -p "$bench/results"
"$python" "$bench/report.py" "$bench/results/$(date +%F)-$(uname -m)-$(getconf _NPROCESSORS_ONLN)cores.json" "${files[@]}"
