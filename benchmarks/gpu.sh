#!/usr/bin/env bash
# Measures Fanlight on a bare machine with a GPU and torch, which can reach no package registry.
#
#   benchmarks/gpu.sh wheels [PYTHON]   on a machine with a registry: download the other packages, as
#                                       wheels for Linux, x86-64 and that Python (3.12), into wheels/
#   benchmarks/gpu.sh [DEVICE]          on the machine with the GPU, where wheels/ was copied to: the
#                                       tests of the GPU, one training, W1 to W3; DEVICE is cuda or cpu
#
# It says first what is missing. It ends within four minutes: a step that would not end in time is
# stopped, and the table says so. The table is also written to gpu.md; WHEELS and TABLE name other
# places, PYTHON another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
wheels=${WHEELS:-wheels} table=${TABLE:-gpu.md} python=${PYTHON:-python3}
LIMIT=230           # seconds for all steps
MAX_WHEELS=$((40 * 1024)) # KiB

if [ "${1:-}" = wheels ]; then
    version=${2:-3.12}
    mkdir -p "$wheels"
    rm -f "$wheels"/*.whl
    "$python" -m benchmarks.wheels "$version" >"$wheels/packages.txt"
    platforms=()
    for platform in 2_28 2_27 2_24 2_17 2_12 2_5; do
        platforms+=(--platform "manylinux_${platform}_x86_64")
    done
    "$python" -m pip download --quiet --no-deps --only-binary=:all: --implementation cp \
        --python-version "$version" "${platforms[@]}" --platform manylinux2014_x86_64 \
        --platform manylinux1_x86_64 --dest "$wheels" --requirement "$wheels/packages.txt"
    size=$(du -sk "$wheels" | cut -f1)
    echo "$(find "$wheels" -name '*.whl' | wc -l) wheels for Python $version in $wheels: $size KiB"
    [ "$size" -le "$MAX_WHEELS" ] || { echo "error: more than $MAX_WHEELS KiB" >&2; exit 1; }
    exit 0
fi

device=${1:-cuda}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# what is missing, all of it, before anything is done
cat >"$work/missing.py" <<'PYTHON'
import importlib.util
import sys

device = sys.argv[1]
if sys.version_info < (3, 11):
    print(f"Python 3.11 or newer; this is {sys.version.split()[0]}")
if importlib.util.find_spec("torch") is None:
    print("torch 2.10 or newer")
else:
    import torch

    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 10):
        print(f"torch 2.10 or newer; this is {torch.__version__}")
    if device == "cuda" and not torch.cuda.is_available():
        print("a GPU that torch sees (torch.cuda.is_available() is False)")
for module in ("torchvision", "numpy", "PIL", "filelock", "pip"):
    if importlib.util.find_spec(module) is None:
        print(f"the module {module}")
PYTHON
missing=()
if [ "$device" != cuda ] && [ "$device" != cpu ]; then
    missing+=("a device: cuda or cpu, not $device")
fi
if command -v "$python" >/dev/null; then
    while IFS= read -r line; do missing+=("$line"); done < <("$python" "$work/missing.py" "$device")
    version=$("$python" -c 'import sys; print("{}.{}".format(*sys.version_info[:2]))')
    if ! compgen -G "$wheels/*.whl" >/dev/null; then
        missing+=("wheels in $wheels; where a registry is: benchmarks/gpu.sh wheels $version")
    elif ! compgen -G "$wheels/pydantic_core-*-cp${version/./}-*.whl" >/dev/null; then
        missing+=("wheels for Python $version; where a registry is: benchmarks/gpu.sh wheels $version")
    fi
else
    missing+=("the program $python")
fi
command -v timeout >/dev/null || missing+=("the program timeout, of GNU coreutils")
if [ ${#missing[@]} -gt 0 ]; then
    printf 'missing: %s\n' "${missing[@]}" >&2
    exit 2
fi

"$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$work/site" "$wheels"/*.whl
export PYTHONPATH="$work/site:$PWD" PYTHONDONTWRITEBYTECODE=1 FANLIGHT_DEVICE=$device
# A row of the table: name, how it ended, seconds. The output of the step is in $work/NAME.
rows=()
failed=0
step() { # NAME SECONDS-AT-MOST COMMAND…
    local name=$1 most=$2 started=$SECONDS code=0
    shift 2
    [ $((LIMIT - SECONDS)) -ge "$most" ] || most=$((LIMIT - SECONDS))
    if [ "$most" -lt 5 ]; then
        rows+=("| $name | not run: no time was left | |")
        failed=1
        return
    fi
    echo "== $name"
    timeout "$most" "$@" 2>&1 | tee "$work/$name" || code=$?
    local ended
    ended=$(result "$name")
    case $code in
        0) ;;
        124) ended="stopped after $most s; $ended" failed=1 ;;
        *) ended="failed with status $code; $ended" failed=1 ;;
    esac
    rows+=("| $name | $ended | $((SECONDS - started)) |")
}

result() { # what the table says of a step: the line of its output that sums it up
    case $1 in
        tests) grep -E '[0-9]+ (passed|failed|skipped|error)' "$work/$1" | tail -n 1 | tr -d '=' ;;
        training) grep -E 'test accuracy' "$work/$1" | tail -n 1 ;;
        serving) echo "see below" ;;
    esac || true
}

# `-W default`: with another torch than the tested one, a new warning is no failure
mapfile -t gpu_tests < <(grep -rl 'mark\.gpu' tests --include='test_*.py')
step tests 100 "$python" -m pytest -m gpu -q -W default -p no:cacheprovider "${gpu_tests[@]}"
step training 60 "$python" -m training fit xo-base --epochs 3 --device "$device" \
    --data-root "$work/data" --repository "$work/models" --runs "$work/runs"
step serving 120 "$python" -m benchmarks serve throughput --quick

{
    echo "# Fanlight on one machine"
    echo
    "$python" - "$device" <<'PYTHON'
import sys
import torch

card = torch.cuda.get_device_name() if sys.argv[1] == "cuda" else "CPU"
print(f"{card}, torch {torch.__version__}, Python {sys.version.split()[0]}")
PYTHON
    echo
    echo "| step | result | seconds |"
    echo "|---|---|---|"
    printf '%s\n' "${rows[@]}"
    echo
    echo "The service runs on the device; the limit and the tutorial's server run on the CPU."
    echo
    echo "| workload | images a second | p50 ms | p99 ms | errors | of the limit |"
    echo "|---|---|---|---|---|---|"
    # a line "W1: about, …" begins a workload; "  raw body  rate p50 p99 errors part" is a figure
    awk '/^W[1-4]:/ { name = substr($1, 1, 2) }
        /^  (raw body|multipart|tutorial) +[0-9]/ && name ~ /W[1-3]/ {
            printf "| %s, %s |", name, ($1 == "raw" ? "raw body" : $1)
            for (i = NF - 4; i <= NF; i++) printf " %s |", $i
            print ""
        }' "$work/serving" 2>/dev/null || true
    echo
    echo "$SECONDS s in all"
} | tee "$table"
exit "$failed"
