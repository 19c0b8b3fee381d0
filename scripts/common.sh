# Shared by the scripts of this directory, which source it. Results go to stdout, what is being done to stderr.
# shellcheck shell=bash

project_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Outside the tree, so that a clean clone finds what an earlier one built or fetched.
cache_root=${XDG_CACHE_HOME:-$HOME/.cache}/plasticity
# shellcheck disable=SC2034  # read by the scripts that source this
models_dir=$cache_root/models
# The link that CMakePresets.json points at.
# shellcheck disable=SC2034  # read by the scripts that source this
llama_link=$project_root/build/llama.cpp

# What was compiled once is not compiled again after `make clean`.
export CCACHE_DIR=${CCACHE_DIR:-$cache_root/ccache} CCACHE_BASEDIR=${CCACHE_BASEDIR:-$project_root} CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-4G}

# llama.cpp: the sources that scripts/setup_llama builds and scripts/fetch_tokenizer takes vocabularies from.
llama_package=llama-cpp-python==0.3.36
llama_archive=llama_cpp_python-0.3.36.tar.gz
llama_archive_sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
# shellcheck disable=SC2034  # read by the scripts that source this
llama_archive_member=llama_cpp_python-0.3.36/vendor/llama.cpp

say() { printf '%s\n' "plasticity: $*" >&2; }

# fail MESSAGE [STATUS]
fail() {
    say "error: $1"
    exit "${2:-1}"
}

sha256_of() {
    if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi | cut -d ' ' -f 1
}

# require_sha256 FILE SUM: a file that is not what was pinned is removed, so that the next run fetches it again.
require_sha256() {
    local got
    got=$(sha256_of "$1")
    [[ $got == "$2" ]] && return
    rm -f "$1"
    fail "$(basename "$1"): sha256 is $got, expected $2; the download was damaged or replaced, try again"
}

# Until this script ends, another one that wants to write to the cache waits.
lock_cache() {
    mkdir -p "$cache_root"
    command -v flock >/dev/null || return 0
    exec 9>"$cache_root/lock"
    flock -n 9 && return
    say "waiting for another set-up to end"
    flock 9
}

# make_venv NAME [PACKAGE==VERSION]...: prints the path of a Python environment with exactly these packages.
# The system's own Python is never installed into.
make_venv() {
    local name=$1 wanted venv
    shift
    wanted=$*
    venv=$cache_root/venv-$name
    if [[ ! -x $venv/bin/pip || $(cat "$venv/packages" 2>/dev/null) != "$wanted" ]]; then
        [[ -z $wanted ]] || say "installing $wanted"
        rm -rf "$venv"
        mkdir -p "$cache_root"
        # Debian's own python3 has the venv module by package; another one in PATH may lack it.
        python3 -m venv "$venv" >&2 || /usr/bin/python3 -m venv "$venv" >&2
        [[ -z $wanted ]] || "$venv/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
        printf '%s\n' "$wanted" >"$venv/packages"
    fi
    printf '%s\n' "$venv"
}

# pip_download DIRECTORY ARGUMENT...: pip's own progress shows; its other lines only when it fails.
pip_download() {
    local directory=$1 venv
    shift
    venv=$(make_venv fetch)
    "$venv/bin/pip" download --disable-pip-version-check --no-deps --dest "$directory" "$@" >&2 ||
        fail "the download of ${!#} failed: is the network there, and a package index set for pip?"
}
