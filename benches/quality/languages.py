"""Accuracy language by language: one model, trained with its defaults on all languages of a corpus together.

    python benches/quality/languages.py --topicd target/release/topicd --corpus CORPORA/sib200_16_languages

Rows of train.jsonl.gz and test.jsonl.gz have a key `lang`. No requirements.
"""

import argparse
import gzip
import json
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topicd", required=True)
    parser.add_argument("--corpus", required=True, type=Path)
    arguments = parser.parse_args()
    test = arguments.corpus / "test.jsonl.gz"
    with tempfile.TemporaryDirectory() as scratch:
        model = f"{scratch}/model.topicd"
        train = [arguments.topicd, "train", "--data", str(arguments.corpus / "train.jsonl.gz"), "--out", model]
        subprocess.run(train, check=True, capture_output=True)
        classify = [arguments.topicd, "classify", "--json", "--model", model, str(test)]
        answers = subprocess.run(classify, check=True, capture_output=True, encoding="utf-8").stdout.splitlines()
    with gzip.open(test, "rt", encoding="utf-8") as lines:
        documents = [json.loads(line) for line in lines]
    right, known = defaultdict(list), defaultdict(list)
    for document, answer in zip(documents, map(json.loads, answers), strict=True):
        stats = answer["documentStats"]
        right[document["lang"]].append(answer["topics"][0]["topic"] == document["topics"][0])
        known[document["lang"]].append(int(stats.get("knownTokens", 0)) / max(1, int(stats.get("tokens", 0))))
    print("| language | documents | accuracy | tokens known |\n|---|---:|---:|---:|")
    for language in sorted(right):
        n = len(right[language])
        print(f"| {language} | {n} | {sum(right[language]) / n:.3f} | {sum(known[language]) / n:.3f} |")


if __name__ == "__main__":
    main()
