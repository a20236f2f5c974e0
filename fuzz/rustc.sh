#!/bin/sh
# cargo's RUSTC_WRAPPER for run.sh: `rustc.sh RUSTC ARGUMENT…`. Has topicd's library count where it goes and tell libFuzzer what it
# compares, with the flags of `cargo fuzz build --sanitizer none`.
rustc=$1
shift
case " $* " in
*" --crate-name topicd "*)
  set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0
  ;;
esac
exec "$rustc" "$@"
