#!/usr/bin/env bash
# Compares with llama.cpp's tools in one run, writes bench/results/<date>-<machine>.json and .md, and prints the table of
# ratios. Usage: run.sh [--runs N] [--all] [OPTION...]
#   --runs N  N times, one after the other; the table then has the median and every run
#   --all     every benchmark of this folder, with its own repetitions, some two hours on two cores; otherwise those that
#             the table needs, each once a run but for the three rounds of speed.py
#   OPTION    is passed to each: run.sh --models qwen2.5-coder-1.5b --tokens 4096 --chunks 16
set -euo pipefail
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$bench")

n_runs=1
if [[ ${1:-} == --runs ]]; then
    n_runs=$2
    shift 2
fi
names=(quantize_speed hf_to_gguf large_shapes speed score_speed q3ks_size)
common=(--models smollm2 --tokens 2048 --chunks 4)
declare -A own=([quantize_speed]="--repetitions 1"
    [hf_to_gguf]="--mixes Q4_K_M --repetitions 1 --stock-repetitions 1"
    [large_shapes]="--rounds 1" [score_speed]="--rounds 1" [q3ks_size]="--plans optimal")
if [[ ${1:-} == --all ]]; then
    shift
    names=(pruning_order task_dependence quantised_base score_speed score_memory compensation output_error q3ks_size
        healing alignment prediction refinement speculation logits_agreement hf_round_trip quantize_speed hf_to_gguf
        large_shapes speed)
    common=()
    own=()
fi

python=$("$bench/setup_venv")
cmake --build "$root/build/release" --target compare_logits output_error >&2
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
mkdir -p "$bench/results"
machine=$(uname -m)-$(getconf _NPROCESSORS_ONLN)cores
results=()
for ((run = 1; run <= n_runs; ++run)); do
    files=()
    for name in "${names[@]}"; do
        printf 'bench: run %d of %d: %s\n' "$run" "$n_runs" "$name" >&2
        # shellcheck disable=SC2086  # several words
        "$python" "$bench/$name.py" --cache "$parts/cache" -o "$parts/$name.json" "${common[@]}" ${own[$name]:-} "$@"
        files+=("$parts/$name.json")
    done
    result=$bench/results/$(date +%F)-$machine$( ((n_runs == 1)) || printf -- '-run%d' "$run").json
    "$python" "$bench/report.py" "$result" "${files[@]}" >&2
    results+=("$result")
done
"$python" "$bench/ratios.py" "${results[@]}"
printf 'bench: %d minutes; all figures: %s\n' $((SECONDS / 60)) "${results[*]/%.json/.md}" >&2
