"""How the time and memory of training grow with the number of documents.

There are few public corpora of a million labelled documents that may be had freely, so they are made of a smaller one: documents are drawn
with replacement, and in each of them a share of the words is replaced by words drawn from the whole corpus by how often they come
and, for one in fifty, by new words, so that vocabulary and rows grow as they do with new texts. The draws are seeded.

Prints a table, and the exponents of growth: the slope of a straight line through the logarithms.
"""

import argparse
import gzip
import json
import math
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

REPLACED = 0.3
NEW = 0.02


def read_rows(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def resampled(rows: list[dict], n_documents: int) -> Iterator[str]:
    """Lines of JSON."""
    draw = random.Random(0)
    words = [word for row in draw.sample(rows, min(len(rows), 20_000)) for word in row["text"].split()]
    for number in range(n_documents):
        row = draw.choice(rows)
        text = row["text"].split()
        for place in range(len(text)):
            chance = draw.random()
            if chance < REPLACED * NEW:
                text[place] = f"{draw.choice(words)}{draw.randrange(n_documents)}"
            elif chance < REPLACED:
                text[place] = draw.choice(words)
        title = row.get("title", "")
        yield json.dumps({"id": str(number), "title": title, "text": " ".join(text), "topics": row["topics"]})


def peak_so_far(pid: int) -> float:
    """MiB that a process has had resident."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return max((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), default=0.0)


def slope(points: list[tuple[float, float]]) -> float:
    xs, ys = ([math.log(value) for value in values] for values in zip(*points, strict=True))
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    covariance = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return covariance / sum((x - x_mean) ** 2 for x in xs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--topicd", required=True, help="the topicd binary, built with --release")
    parser.add_argument("--corpus", type=Path, required=True, help="a folder with train.jsonl.gz")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 30_000, 100_000, 300_000, 1_000_000])
    parser.add_argument("--train", nargs=argparse.REMAINDER, default=[], help="further arguments of topicd train, at the end")
    args = parser.parse_args()
    rows = read_rows(args.corpus / "train.jsonl.gz")
    times, memories = [], []
    print("| documents | MB of JSON | wall s | CPU s | wall ÷ CPU | peak MiB |\n|---:|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        data = f"{scratch}/train.jsonl"
        for n_documents in args.sizes:
            with open(data, "w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in resampled(rows, n_documents))
            command = [args.topicd, "train", "--data", data, "--out", f"{scratch}/model.topicd", "--json", *args.train]
            begun = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            peak_mib = 0.0
            # Not the peak of rusage, which a process has from the one that started it.
            while (waited := os.wait4(process.pid, os.WNOHANG))[0] == 0:
                peak_mib = max(peak_mib, peak_so_far(process.pid))
                time.sleep(0.01)
            _, status, usage = waited
            if status != 0:
                raise SystemExit(f"training on {n_documents} documents failed: {' '.join(command)}")
            wall = time.perf_counter() - begun
            cpu = usage.ru_utime + usage.ru_stime
            times.append((n_documents, wall))
            memories.append((n_documents, peak_mib))
            megabytes = os.path.getsize(data) / 1e6
            print(f"| {n_documents} | {megabytes:.0f} | {wall:.1f} | {cpu:.1f} | {wall / cpu:.2f} | {peak_mib:.0f} |", flush=True)
    if len(args.sizes) > 1:
        print(f"\nexponent of growth: time {slope(times):.2f}, memory {slope(memories):.2f}")


if __name__ == "__main__":
    main()
