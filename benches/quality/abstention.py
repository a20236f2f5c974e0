"""Measures what abstaining does: how right the assigned topics are, and whether other languages are told.

    python benches/quality/abstention.py --topicd target/release/topicd --corpora CORPORA

For each corpus of one topic a document: a model trained with its defaults (nine of ten assigned topics should be right), on
the test split. Then the bundled English model on the test split of sib200_16_languages, language by language, if it is
there. No requirements.
"""

import argparse
import gzip
import json
import subprocess
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

REASONS = ["LOW_PROBABILITY", "SMALL_MARGIN", "FEW_KNOWN_TOKENS", "OTHER_LANGUAGE", "NO_TOKENS"]


def rows(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def answers(topicd: str, path: Path, model: list[str]) -> list[dict]:
    command = [topicd, "classify", "--json", *model, str(path)]
    printed = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    return [json.loads(line) for line in printed.splitlines()]


def reason(answer: dict) -> str:
    return answer["decision"].get("abstainReason", "").removeprefix("ABSTAIN_REASON_")


def shares(reasons: list[str]) -> str:
    counts = Counter(reasons)
    return " | ".join(f"{counts[name] / len(reasons):.3f}" for name in REASONS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topicd", required=True)
    parser.add_argument("--corpora", required=True, type=Path)
    arguments = parser.parse_args()
    print(f"| corpus | accuracy of all | of those assigned | share assigned | {' | '.join(REASONS)} |")
    print(f"|---|{'---:|' * (3 + len(REASONS))}")
    for path in sorted(arguments.corpora.glob("*/test.jsonl.gz")):
        documents = rows(path)
        if sum(len(document["topics"]) > 1 for document in documents) >= 0.01 * len(documents):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            model = Path(scratch) / "model.topicd"
            train = [arguments.topicd, "train", "--data", str(path.parent / "train.jsonl.gz"), "--out", str(model)]
            subprocess.run(train, check=True, capture_output=True)
            answered = answers(arguments.topicd, path, ["--model", str(model)])
        is_right = [a["topics"][0]["topic"] == d["topics"][0] for d, a in zip(documents, answered, strict=True)]
        reasons = [reason(answer) for answer in answered]
        assigned = [right for right, why in zip(is_right, reasons, strict=True) if not why]
        accuracy, of_assigned = sum(is_right) / len(is_right), sum(assigned) / max(1, len(assigned))
        share = len(assigned) / len(is_right)
        print(f"| {path.parent.name} | {accuracy:.3f} | {of_assigned:.3f} | {share:.3f} | {shares(reasons)} |", flush=True)
    path = arguments.corpora / "sib200_16_languages" / "test.jsonl.gz"
    if not path.is_file():
        return
    by_language = defaultdict(list)
    for document, answer in zip(rows(path), answers(arguments.topicd, path, []), strict=True):
        by_language[document["lang"]].append(reason(answer))
    print(f"\n| the bundled model on | share assigned | {' | '.join(REASONS)} |\n|---|{'---:|' * (1 + len(REASONS))}")
    for language, reasons in sorted(by_language.items()):
        print(f"| {language} | {reasons.count('') / len(reasons):.3f} | {shares(reasons)} |")


if __name__ == "__main__":
    main()
