"""A model that learned from English alone, asked in other languages: accuracy, and what it abstains from.

    python benches/quality/cross_lingual.py --topicd target/release/topicd --corpus CORPORA/sib200_16_languages

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
    parser.add_argument("--learned", default="eng_Latn")
    parser.add_argument("--option", action="append", default=[], help="of topicd train, as --option=--words=none")
    arguments = parser.parse_args()
    test = arguments.corpus / "test.jsonl.gz"
    with gzip.open(arguments.corpus / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        learned = [line for line in lines if json.loads(line)["lang"] == arguments.learned]
    with tempfile.TemporaryDirectory() as scratch:
        train, model = Path(scratch) / "train.jsonl", Path(scratch) / "model.topicd"
        train.write_text("".join(learned), encoding="utf-8")
        command = [arguments.topicd, "train", "--data", train, "--out", model, *arguments.option]
        subprocess.run(command, check=True, capture_output=True)
        command = [arguments.topicd, "classify", "--json", "--model", model, test]
        answers = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.splitlines()
    with gzip.open(test, "rt", encoding="utf-8") as lines:
        documents = [json.loads(line) for line in lines]
    rows = defaultdict(list)
    for document, answer in zip(documents, map(json.loads, answers), strict=True):
        reason = answer["decision"].get("abstainReason", "")
        is_strange = reason in ("ABSTAIN_REASON_OTHER_LANGUAGE", "ABSTAIN_REASON_FEW_KNOWN_TOKENS")
        is_right = answer["topics"][0]["topic"] == document["topics"][0]
        rows[document["lang"]].append((is_right, is_strange, not reason))
    print("| language | documents | accuracy of the most probable topic | strange to it | assigned |")
    print("|---|---:|---:|---:|---:|")
    for language in sorted(rows):
        n = len(rows[language])
        shares = [sum(column) / n for column in zip(*rows[language], strict=True)]
        print(f"| {language} | {n} | " + " | ".join(f"{share:.3f}" for share in shares) + " |")


if __name__ == "__main__":
    main()
