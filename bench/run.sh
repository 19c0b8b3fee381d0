#!/usr/bin/env bash
# Compares with llama.cpp's tools in one run, writes bench/results/<date>-<machine>.json and .md, and prints the table of
# ratios. Usage: run.sh [--all] [OPTION...]
#   --all     every benchmark of this folder, some two hours on two cores; otherwise those that the table needs
#   OPTION    is passed to each: run.sh --models qwen2.5-coder-1.5b --tokens 4096 --chunks 16
set -euo pipefail
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$bench")

names=(quantize_speed hf_to_gguf large_shapes speed score_speed q3ks_size)
options=(--models smollm2 --tokens 2048)
if [[ ${1:-} == --all ]]; then
    shift
    names=(pruning_order task_dependence quantised_base score_speed score_memory compensation output_error q3ks_size
        alignment prediction refinement logits_agreement hf_round_trip quantize_speed hf_to_gguf large_shapes speed)
    options=()
fi

python=$("$bench/setup_venv")
cmake --build "$root/build/release" --target compare_logits output_error >&2
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT

files=()
for name in "${names[@]}"; do
    printf 'bench: %s\n' "$name" >&2
    "$python" "$bench/$name.py" --cache "$parts/cache" -o "$parts/$name.json" "${options[@]}" "$@"
    files+=("$parts/$name.json")
done
mkdir -p "$bench/results"
result=$bench/results/$(date +%F)-$(uname -m)-$(getconf _NPROCESSORS_ONLN)cores.json
"$python" "$bench/report.py" "$result" "${files[@]}" >&2
"$python" "$bench/ratios.py" "$result"
printf 'bench: %d minutes; all figures: %s\n' $((SECONDS / 60)) "${result%.json}.md" >&2
