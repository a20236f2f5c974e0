"""Accuracy language by language: one model, trained on all languages of a corpus together, with its defaults unless told
otherwise.

    python benches/quality/languages.py --topicd target/release/topicd --corpus CORPORA/sib200_16_languages
        [--character-ngrams]

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
    parser.add_argument("--character-ngrams", action="store_true")
    arguments = parser.parse_args()
    test = arguments.corpus / "test.jsonl.gz"
    with tempfile.TemporaryDirectory() as scratch:
        model = f"{scratch}/model.topicd"
        train = [arguments.topicd, "train", "--data", str(arguments.corpus / "train.jsonl.gz"), "--out", model]
        train += ["--character-ngrams"] if arguments.character_ngrams else []
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
    all_answers = [is_right for of_language in right.values() for is_right in of_language]
    print("| language | documents | accuracy | tokens known |\n|---|---:|---:|---:|")
    for language in sorted(right):
        n = len(right[language])
        print(f"| {language} | {n} | {sum(right[language]) / n:.3f} | {sum(known[language]) / n:.3f} |")
    print(f"| **all** | {len(all_answers)} | {sum(all_answers) / len(all_answers):.3f} | |")


if __name__ == "__main__":
    main()
