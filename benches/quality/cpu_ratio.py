"""Whether training with topicd costs less CPU than training with scikit-learn does.

A ratio, because seconds differ between machines; alternating, because a busy machine slows both in turn; the median,
because one bad round says little. The comparison leans towards scikit-learn: topicd's side is the whole process, with
its search for C, its calibration, its evaluation and its model file; scikit-learn's side is reading, vectorizing and
one CalibratedClassifierCV(LinearSVC(), cv=3), without Python's start.
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
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-ratio", type=float, default=1.0, help="fail when the median is above this")
    args = parser.parse_args()

    data = str(args.corpus / "train.jsonl.gz")
    ratios = []
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(1, args.rounds + 1):
            ours = run([args.topicd, "train", "--data", data, "--out", f"{scratch}/model.topicd", "--json"]).cpu_seconds
            peer = run([*PEERS, "train", "--data", data], ONE_THREAD).json()
            if peer["multi_label"]:
                fail(f"{data} gives documents several topics, which scikit-learn doesn't calibrate: nothing to compare")
            theirs = peer["cpu_seconds"]
            ratios.append(ours / theirs)
            costs = f"topicd {ours:.2f} CPU s, scikit-learn {theirs:.2f} CPU s"
            print(f"round {number}: {costs}, ratio {ratios[-1]:.3f}", flush=True)
    print(f"median ratio {median(ratios):.3f}, allowed {args.max_ratio:.3f}")
    if median(ratios) > args.max_ratio:
        fail("training costs more CPU than allowed")


if __name__ == "__main__":
    main()
