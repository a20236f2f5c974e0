"""Accuracy with a few labelled documents a topic: topicd with its table of words, without one, and peers.

    few_shot.py TOPICD CORPORA --draws DRAWS [--corpus NAME] [--peers]

DRAWS is a folder with NAME.json for each corpus: {"K/D": [ids]}, the ids of draw D with K documents a topic. The first 3,000 rows of the
test split are classified; figures are means over the draws. TOPICD may be several programs, separated by commas: they are
compared in one run.
"""

import argparse
import gzip
import json
import pathlib
import subprocess
import tempfile


def rows(path, limit=None):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    return found[:limit]


def write(path, documents):
    path.write_text("".join(json.dumps(document) + "\n" for document in documents), encoding="utf-8")


def topicd_accuracy(topicd, train, test, work, options):
    write(work / "train.jsonl", train)
    model = work / "few.topicd"
    command = [topicd, "train", "--data", work / "train.jsonl", "--out", model, "--json", *options]
    subprocess.run(command, check=True, capture_output=True)
    command = [topicd, "evaluate", "--model", model, "--data", test, "--json"]
    evaluated = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return evaluated.get("evaluation", evaluated)["accuracy"]


def sklearn_accuracy(train, test):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    def text(document):
        return (document.get("title") or "") + "\n" + document["text"]

    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LinearSVC())
    model.fit([text(d) for d in train], [d["topics"][0] for d in train])
    return model.score([text(d) for d in test], [d["topics"][0] for d in test])


def fasttext_accuracy(train, test, work):
    import fasttext

    def line(document):
        words = ((document.get("title") or "") + " " + document["text"]).lower().split()
        return "__label__" + document["topics"][0] + " " + " ".join(words)

    (work / "train.txt").write_text("\n".join(map(line, train)), encoding="utf-8")
    model = fasttext.train_supervised(str(work / "train.txt"), wordNgrams=2, epoch=50, lr=0.5, thread=1, verbose=0)
    said = (model.predict(line(d).split(" ", 1)[1])[0][0] for d in test)
    return sum(s == "__label__" + d["topics"][0] for s, d in zip(said, test)) / len(test)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("topicd")
    parser.add_argument("corpora", type=pathlib.Path)
    parser.add_argument("--draws", type=pathlib.Path, required=True)
    parser.add_argument("--corpus", action="append")
    parser.add_argument("--few", type=int, nargs="*", help="documents a topic; left out: all that there are draws of")
    parser.add_argument("--option", action="append", default=[], help="of topicd train, as --option=--c=1")
    parser.add_argument("--peers", action="store_true", help="scikit-learn and fastText, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        for path in sorted(arguments.draws.glob("*.json")):
            if arguments.corpus and path.stem not in arguments.corpus:
                continue
            measure(arguments, path, work)


def measure(arguments, path, work):
    corpus = arguments.corpora / path.stem
    by_id = {row["id"]: row for row in rows(corpus / "train.jsonl.gz")}
    test = rows(corpus / "test.jsonl.gz", 3000)
    write(work / "test.jsonl", test)
    draws = json.loads(path.read_text())
    sizes = sorted({int(name.split("/")[0]) for name in draws})
    for size in sizes:
        if arguments.few and size not in arguments.few:
            continue
        found = {}
        for name in (name for name in draws if name.startswith(f"{size}/")):
            train = [by_id[i] for i in draws[name]]
            for program in arguments.topicd.split(","):
                found.setdefault(program, []).append(topicd_accuracy(program, train, work / "test.jsonl", work, arguments.option))
            if arguments.peers:
                found.setdefault("scikit-learn", []).append(sklearn_accuracy(train, test))
                found.setdefault("fastText", []).append(fasttext_accuracy(train, test, work))
        for what, accuracies in found.items():
            mean = sum(accuracies) / len(accuracies)
            each = " ".join(f"{accuracy:.3f}" for accuracy in accuracies)
            print(f"{path.stem} {size:4} a topic  {mean:.4f}  ({each})  {what}", flush=True)


if __name__ == "__main__":
    main()
