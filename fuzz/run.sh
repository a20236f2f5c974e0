#!/usr/bin/env bash
# fuzz/run.sh [SECONDS_PER_TARGET] [TARGET…]: builds the fuzz targets, runs each from its seeds and what earlier runs found
# (fuzz/corpus), and prints a table. Fails when one finds something. Needs a Rust toolchain (stable is enough) and a C++ compiler.
set -euo pipefail
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-$(dirname "$0")/../target}")
cd "$(dirname "$0")"
seconds=${1:-20}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  mapfile -t targets < <(basename -s .rs fuzz_targets/*.rs)
fi

# Only topicd itself is watched by libFuzzer (rustc.sh), so all else is what `cargo build` in the directory above has built already.
export CARGO_TARGET_DIR=$target_dir
RUSTC_WRAPPER=$PWD/rustc.sh cargo build --locked --quiet "${targets[@]/#/--bin=}"
programs=$target_dir/debug

# Settings of the person who runs this are no part of what is tested.
for name in $(env | sed -n 's/^\(TOPICD_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done

failed=0
table="| target | executions | edges covered | inputs kept | findings |
|---|---:|---:|---:|---:|"
for target in "${targets[@]}"; do
  mkdir -p "corpus/$target" "artifacts/$target"
  log=artifacts/$target.log
  options=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1
    -artifact_prefix="artifacts/$target/")
  if [ "$target" = artifact ]; then options+=(-max_len=65536); fi
  status=0
  touch "artifacts/$target.begun"
  "$programs/$target" "${options[@]}" "corpus/$target" "seeds/$target" >"$log" 2>&1 || status=$?
  findings=$(find "artifacts/$target" -type f -newer "artifacts/$target.begun" | wc -l)
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  edges=$(sed -n 's/^#.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  table+=$'\n'"| $target | ${executions:-?} | ${edges:-?} | $(find "corpus/$target" -type f | wc -l) | $findings |"
  if [ "$status" -ne 0 ]; then
    failed=1
    { echo "$target ended with $status; its last words, and all of them in fuzz/$log:"; tail -n 40 "$log"; } >&2
  fi
done
echo "$table"
exit "$failed"
