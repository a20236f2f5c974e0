"""How good topicd is, and what its training costs: one Markdown table over several corpora.

Every corpus is trained with the same defaults, because a default that wins on one corpus and loses on the mean is no
default. Both systems run as child processes and are judged on a test split that training never sees.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, NoReturn

PEERS = [sys.executable, str(Path(__file__).with_name("peers.py"))]
# CPU seconds are compared, and spinning BLAS threads would add some that do no work.
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
# A column's heading, its key in a row, its decimals.
COLUMNS = [
    ("accuracy", "accuracy", 4),
    ("micro-F1", "micro_f1", 4),
    ("macro-F1", "macro_f1", 4),
    ("log loss", "log_loss", 4),
    ("ECE", "expected_calibration_error", 4),
    ("training CPU s", "cpu_seconds", 2),
    ("wall s", "wall_seconds", 2),
    ("model MB", "model_mb", 1),
]
Row = dict[str, Any]


class Run(NamedTuple):
    """What a child process printed and what it cost."""

    stdout: str
    cpu_seconds: float
    wall_seconds: float

    def json(self) -> Row:
        try:
            return json.loads(self.stdout)
        except json.JSONDecodeError as error:
            fail(f"expected one JSON object on standard output ({error}), but got:\n{self.stdout[:2000]}")


def fail(message: str) -> NoReturn:
    sys.exit(f"{Path(sys.argv[0]).name}: {message}")


def run(command: Sequence[str], env: dict[str, str] | None = None) -> Run:
    """Runs a child to its end; one that fails ends this process too, with what the child said."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        try:
            child = subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, **(env or {})})
        except OSError as error:
            fail(f"can't start {command[0]}: {error}")
        # wait4 gives this child's own usage, all of its threads included; getrusage would add up all children so far.
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        out.seek(0)
        err.seek(0)
        if child.returncode != 0:
            said = err.read().decode(errors="replace").strip()[-4000:]
            fail(f"exit code {child.returncode} from `{' '.join(command)}`, which said:\n{said}")
        return Run(out.read().decode(), usage.ru_utime + usage.ru_stime, wall)


def topicd_row(topicd: str, corpus: Path, model: Path, options: Sequence[str] = ()) -> Row:
    data = ["--data", f"{corpus}/train.jsonl.gz"]
    training = run([topicd, "train", *data, "--out", str(model), "--json", *options])
    evaluation = run([topicd, "evaluate", "--model", str(model), "--data", f"{corpus}/test.jsonl.gz", "--json"])
    costs = {"cpu_seconds": training.cpu_seconds, "wall_seconds": training.wall_seconds}
    return {**evaluation.json(), **costs, "model_mb": model.stat().st_size / 1e6}


def sklearn_row(corpus: Path, model: Path) -> Row:
    training = run([*PEERS, "train", "--data", f"{corpus}/train.jsonl.gz", "--out", str(model)], ONE_THREAD)
    evaluation = run([*PEERS, "evaluate", "--model", str(model), "--data", f"{corpus}/test.jsonl.gz"], ONE_THREAD)
    return {**evaluation.json(), **training.json(), "model_mb": model.stat().st_size / 1e6}


def print_row(corpus: str, system: str, row: Row) -> None:
    cells = ["-" if row[key] is None else f"{row[key]:.{decimals}f}" for _, key, decimals in COLUMNS]
    print(f"| {corpus} | {system} | {' | '.join(cells)} |", flush=True)


def means(rows: dict[str, list[Row]]) -> dict[str, Row]:
    """Each system's means, column by column over the corpora where every system has a value: like with like."""
    result: dict[str, Row] = {system: {} for system in rows}
    for _, key, _ in COLUMNS:
        shared = [group for group in zip(*rows.values(), strict=True) if all(row[key] is not None for row in group)]
        for position, system in enumerate(rows):
            result[system][key] = fmean(group[position][key] for group in shared) if shared else None
    return result


def corpora(folder: Path, names: list[str] | None) -> list[Path]:
    """The named corpora, or all that have both splits, in name order."""
    def complete(path: Path) -> bool:
        return (path / "train.jsonl.gz").is_file() and (path / "test.jsonl.gz").is_file()

    if names:
        for name in names:
            if not complete(folder / name):
                fail(f"{folder / name} doesn't hold train.jsonl.gz and test.jsonl.gz")
        return [folder / name for name in names]
    found = sorted(path for path in folder.glob("*") if complete(path))
    return found or fail(f"no folder in {folder} holds train.jsonl.gz and test.jsonl.gz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--topicd", required=True, help="the topicd binary, built with --release")
    parser.add_argument("--corpora", type=Path, required=True, help="the folder that holds the corpora's folders")
    parser.add_argument("--corpus", action="append", help="one corpus by its folder's name; may be repeated")
    parser.add_argument("--sklearn", action="store_true", help="measure scikit-learn beside it")
    parser.add_argument("--character-ngrams", action="store_true", help="measure topicd with them beside it")
    args = parser.parse_args()

    systems = {"topicd": lambda corpus, model: topicd_row(args.topicd, corpus, model)}
    if args.character_ngrams:
        option = ["--character-ngrams"]
        systems["topicd, character n-grams"] = lambda corpus, model: topicd_row(args.topicd, corpus, model, option)
    if args.sklearn:
        systems["scikit-learn"] = sklearn_row
    rows: dict[str, list[Row]] = {system: [] for system in systems}
    chosen = corpora(args.corpora, args.corpus)
    print(f"| corpus | system | {' | '.join(heading for heading, _, _ in COLUMNS)} |")
    print(f"|---|---|{'---:|' * len(COLUMNS)}")
    with tempfile.TemporaryDirectory() as scratch:
        for corpus in chosen:
            for system, row_of in systems.items():
                model = Path(scratch) / f"{corpus.name}.model"
                row = row_of(corpus, model)
                model.unlink()
                rows[system].append(row)
                print_row(corpus.name, system, row)
    for system, row in means(rows).items():
        print_row("**mean**", system, row)


if __name__ == "__main__":
    main()
