"""How many wrong labels the ranking of `topicd train --mislabels` finds: some are planted, then looked for.

Flips to any other topic are the easy kind. Flips to the runner-up, the most probable other topic by a model of the
untouched documents, are those that people make: between topics that are alike. Wrong labels that the corpus has already
count as false alarms, so the figures are lower bounds.
"""

import argparse
import gzip
import json
import random
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from quality import fail, run

SHARE_PLANTED = 0.05
Row = dict[str, Any]


class Found(NamedTuple):
    """What the ranking had of the planted flips."""

    planted: int
    precision_at_m: float
    recall_at_2m: float
    suspected: int
    suspected_precision: float
    suspected_recall: float


def read(path: Path) -> list[Row]:
    """The documents, each content once, named by their place: an id may be missing."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        by_content = {(row.get("title", ""), row.get("text", "")): row for row in map(json.loads, lines)}
    rows = list(by_content.values())
    if any(len(row["topics"]) != 1 for row in rows):
        fail(f"{path} has documents with no or several topics; flips are planted where each has one")
    return [{**row, "id": str(place)} for place, row in enumerate(rows)]


def write(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def runners_up(topicd: str, rows: list[Row], scratch: Path) -> dict[str, str]:
    """For each document's id, the most probable topic that it hasn't."""
    data, model = scratch / "clean.jsonl", scratch / "clean.topicd"
    write(data, rows)
    run([topicd, "train", "--data", str(data), "--out", str(model), "--json"])
    answers = run([topicd, "classify", "--model", str(model), "--json", str(data)]).stdout.splitlines()
    found = {}
    for row, answer in zip(rows, map(json.loads, answers), strict=True):
        # By falling probability.
        topics = [score["topic"] for score in answer["topics"]]
        found[row["id"]] = next(topic for topic in topics if topic not in row["topics"])
    return found


def look_for(topicd: str, rows: list[Row], flips: dict[str, str], scratch: Path) -> Found:
    data, ranking = scratch / "planted.jsonl", scratch / "ranking.jsonl"
    write(data, [{**row, "topics": [flips.get(row["id"], row["topics"][0])]} for row in rows])
    run([topicd, "train", "--data", str(data), "--out", f"{scratch}/planted.topicd", "--mislabels", str(ranking)])
    ranked = [json.loads(line) for line in ranking.read_text(encoding="utf-8").splitlines()]
    suspected = [row for row in ranked if row["is_suspected"]]
    m = len(flips)

    def n_hits(some: list[Row]) -> int:
        return sum(row["document_id"] in flips for row in some)

    return Found(
        planted=m,
        precision_at_m=n_hits(ranked[:m]) / m,
        recall_at_2m=n_hits(ranked[: 2 * m]) / m,
        suspected=len(suspected),
        suspected_precision=n_hits(suspected) / max(len(suspected), 1),
        suspected_recall=n_hits(suspected) / m,
    )


def print_row(flips: str, seed: str, found: Found) -> None:
    shares = [f"{share:.3f}" for share in (found.precision_at_m, found.recall_at_2m)]
    shares += [f"{found.suspected:.0f}", f"{found.suspected_precision:.3f}", f"{found.suspected_recall:.3f}"]
    print(f"| {flips} | {seed} | {found.planted:.0f} | {' | '.join(shares)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--topicd", required=True, help="the topicd binary, built with --release")
    parser.add_argument("--corpus", type=Path, required=True, help="a folder with train.jsonl.gz, one topic a document")
    parser.add_argument("--seeds", type=int, default=3, help="how many times flips are planted, with seeds from 0")
    parser.add_argument("--min-random", type=float, default=0.8, help="fail when mean precision is below this")
    parser.add_argument("--min-runner-up", type=float, default=0.7, help="the same for flips to the runner-up")
    args = parser.parse_args()

    rows = read(args.corpus / "train.jsonl.gz")
    topics = sorted({row["topics"][0] for row in rows})
    print("| flips to | seed | planted (m) | precision in top m | recall in top 2m | suspected | precision | recall |")
    print(f"|---|---:|{'---:|' * 6}")
    means = {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        runner_up = runners_up(args.topicd, rows, scratch)
        for kind in ("random", "runner-up"):
            results = []
            for seed in range(args.seeds):
                source = random.Random(seed)
                flips = {}
                for row in source.sample(rows, round(SHARE_PLANTED * len(rows))):
                    others = [topic for topic in topics if topic not in row["topics"]]
                    flips[row["id"]] = source.choice(others) if kind == "random" else runner_up[row["id"]]
                results.append(look_for(args.topicd, rows, flips, scratch))
                print_row(kind, str(seed), results[-1])
            means[kind] = Found(*(fmean(column) for column in zip(*results, strict=True)))
            print_row(f"**{kind}**", "**mean**", means[kind])
    for kind, required in (("random", args.min_random), ("runner-up", args.min_runner_up)):
        if means[kind].precision_at_m < required:
            fail(f"flips to {kind}: precision {means[kind].precision_at_m:.3f} is below {required:.3f}")


if __name__ == "__main__":
    main()
