"""Whether training with topicd costs less CPU than training with scikit-learn or fastText does.

A ratio, because seconds differ between machines; alternating, because a busy machine slows both in turn; the median,
because one bad round says little. The comparison leans towards the others: topicd's side is the whole process, with its
calibration, its evaluation, its findings about labels and its model file; theirs is reading and fitting, without Python's start.

- `calibrated`: CalibratedClassifierCV(LinearSVC(), cv=3), three fits, against topicd with its search for C;
- `linear-svc`: LinearSVC(), which is uncalibrated, against topicd with `--c 0.5`;
- `fasttext`: words and word pairs, five epochs, and the file that it reads, against topicd with `--c 0.5`.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

from quality import ONE_THREAD, PEERS, fail, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--topicd", required=True, help="the topicd binary, built with --release")
    parser.add_argument("--corpus", type=Path, required=True, help="a folder with train.jsonl.gz, one topic a document")
    parser.add_argument("--peer", choices=("calibrated", "linear-svc", "fasttext"), default="calibrated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-ratio", type=float, default=1.0, help="fail when the median is above this")
    args = parser.parse_args()

    data = str(args.corpus / "train.jsonl.gz")
    options = [] if args.peer == "calibrated" else ["--c", "0.5"]
    ratios, walls = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(1, args.rounds + 1):
            training = run([args.topicd, "train", "--data", data, "--out", f"{scratch}/model.topicd", "--json", *options])
            ours = training.cpu_seconds
            peer = run([*PEERS, "train", "--data", data, "--method", args.peer], ONE_THREAD).json()
            if peer["multi_label"]:
                fail(f"{data} gives documents several topics, which these peers don't learn: nothing to compare")
            theirs = peer["cpu_seconds"]
            ratios.append(ours / theirs)
            walls.append(training.wall_seconds / ours)
            costs = f"topicd {ours:.2f} CPU s, {args.peer} {theirs:.2f} CPU s"
            print(f"round {number}: {costs}, ratio {ratios[-1]:.3f}; topicd's wall ÷ CPU {walls[-1]:.2f}", flush=True)
    print(f"median ratio {median(ratios):.3f}, allowed {args.max_ratio:.3f}; topicd's wall ÷ CPU {median(walls):.2f}")
    if median(ratios) > args.max_ratio:
        fail("training costs more CPU than allowed")


if __name__ == "__main__":
    main()
