"""Checks on every document of the corpora's test splits that explanations add up and that spans show their terms.

    python benches/quality/explanations.py --topicd target/release/topicd --corpora CORPORA [--model FILE]

For each corpus with a test.jsonl.gz: `topicd classify --explain --json` on it, every returned topic. No requirements.
"""

import argparse
import gzip
import json
import subprocess
import sys
import unicodedata
from pathlib import Path


def check(document: dict, answer: dict) -> str:
    """What is wrong with an answer's explanations; nothing if all is right."""
    fields = {"FIELD_TITLE": document.get("title", "").encode(), "FIELD_TEXT": document.get("text", "").encode()}
    scores = {score["topic"]: score.get("rawScore", 0.0) for score in answer["topics"]}
    for explanation in answer.get("explanations", []):
        terms = explanation.get("terms", [])
        contributions = [term.get("contribution", 0.0) for term in terms]
        bias, remainder = explanation.get("bias", 0.0), explanation.get("remainder", 0.0)
        size = abs(bias) + sum(map(abs, contributions))
        if abs(bias + sum(contributions) + remainder - scores[explanation["topic"]]) > 1e-6 * size:
            return f"{explanation['topic']} doesn't add up"
        for term in terms:
            for span in term.get("spans", []):
                shown = fields[span["field"]][int(span.get("start", 0)) : int(span["end"])].decode()
                first, *rest = term["term"].split(" ")
                plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", shown).lower())
                if "*" in first:  # a piece of a word; a mark of it may have its letter shown too
                    first = first.strip("*")
                    plain = plain[max(0, plain.find(first)) :][: len(first)]
                if not plain.startswith(first) or not plain.endswith((rest or [first])[-1]):
                    return f"{shown!r} isn't {term['term']!r}"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topicd", required=True)
    parser.add_argument("--corpora", required=True, type=Path)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    model = ["--model", str(arguments.model)] if arguments.model else []
    n_wrong = 0
    print("| corpus | documents | with a wrong explanation |\n|---|---:|---:|")
    for path in sorted(arguments.corpora.glob("*/test.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            documents = [json.loads(line) for line in lines]
        command = [arguments.topicd, "classify", "--json", "--explain", "--max-terms", "1000", *model, str(path)]
        answers = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8")
        assert answers.stdout
        wrong = [found for pair in zip(documents, map(json.loads, answers.stdout), strict=True) if (found := check(*pair))]
        answers.wait()
        print(f"| {path.parent.name} | {len(documents)} | {len(wrong)} |", flush=True)
        for found in wrong[:3]:
            print(found, file=sys.stderr)
        n_wrong += len(wrong)
    sys.exit(n_wrong > 0)


if __name__ == "__main__":
    main()
