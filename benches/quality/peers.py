"""scikit-learn and fastText on the same corpora: what topicd is measured against.

This is what most people would write first: TF-IDF over words and word pairs into linear SVMs, with scikit-learn's own
calibration where every document has one topic, or without it; or fastText's words and word pairs. It runs as a child process of quality.py and cpu_ratio.py, so that
neither system is measured in a process that the other has warmed up.
"""

import argparse
import gzip
import json
import pickle
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.svm import LinearSVC

Row = dict[str, Any]
FOLDS = 3
ECE_BINS = 15


def read_rows(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def texts(rows: list[Row]) -> list[str]:
    return [f"{row.get('title', '')}\n{row.get('text', '')}" for row in rows]


def is_multi_label(rows: list[Row]) -> bool:
    """topicd's own rule: a few stray rows with two topics don't change what kind of task it is."""
    return sum(len(row["topics"]) > 1 for row in rows) >= 0.01 * len(rows)


def fit(rows: list[Row]) -> tuple[Pipeline, bool]:
    """The fitted pipeline, and whether it gives several topics to a document."""
    # `cv=3` cuts folds in file order, which on a corpus sorted by source would hold scikit-learn back for no reason.
    random.Random(0).shuffle(rows)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    if is_multi_label(rows):
        labels = MultiLabelBinarizer().fit([row["topics"] for row in rows])
        pipeline = make_pipeline(vectorizer, OneVsRestClassifier(LinearSVC()))
        pipeline.fit(texts(rows), labels.transform([row["topics"] for row in rows]))
        pipeline.topics = labels.classes_
        return pipeline, True
    first = [row["topics"][0] for row in rows]
    cv: Any = FOLDS
    if min(Counter(first).values()) < FOLDS:
        # `cv=3` refuses topics rarer than the folds; the same folds, given as a list, are accepted.
        cv = list(StratifiedKFold(FOLDS).split(first, first))
    pipeline = make_pipeline(vectorizer, CalibratedClassifierCV(LinearSVC(), cv=cv)).fit(texts(rows), first)
    pipeline.topics = pipeline.classes_
    return pipeline, False


def fit_linear_svc(rows: list[Row]) -> tuple[Pipeline, bool]:
    """The same without calibration; documents have one topic."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    first = [row["topics"][0] for row in rows]
    return make_pipeline(vectorizer, LinearSVC()).fit(texts(rows), first), is_multi_label(rows)


def fit_fasttext(rows: list[Row]) -> tuple[Any, bool]:
    """fastText's own defaults but for word pairs: five epochs, a hundred dimensions. Documents have one topic.

    It learns from a file, which is written here: in its own form, with numbers for labels.
    """
    import fasttext

    numbers = {topic: number for number, topic in enumerate(sorted({row["topics"][0] for row in rows}))}
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        for row, text in zip(rows, texts(rows), strict=True):
            print(f"__label__{numbers[row['topics'][0]]}", " ".join(text.split()), file=file)
        file.flush()
        return fasttext.train_supervised(file.name, wordNgrams=2, thread=1, verbose=0), is_multi_label(rows)


METHODS = {"calibrated": fit, "linear-svc": fit_linear_svc, "fasttext": fit_fasttext}


def train(data: Path, out: Path | None, method: str) -> dict[str, Any]:
    """Costs are counted from the first byte read to the end of the fit: Python's imports are not held against it."""
    if method == "fasttext":
        import fasttext  # noqa: F401
    cpu, wall = time.process_time(), time.perf_counter()
    pipeline, multi_label = METHODS[method](read_rows(data))
    costs = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}
    if out:
        out.write_bytes(pickle.dumps((pipeline, multi_label)))
    return {"multi_label": multi_label, **costs}


def evaluate(model: Path, data: Path) -> dict[str, Any]:
    """The keys of `topicd evaluate --json`.

    Macro-F1 is the mean over the topics that are labels of the data or were predicted, as `topicd evaluate` has it.
    """
    pipeline, multi_label = pickle.loads(model.read_bytes())
    rows = read_rows(data)
    if multi_label:
        # The indicator columns are train's topics; topics that only test has are columns that nobody predicts.
        columns = sorted({*pipeline.topics, *(topic for row in rows for topic in row["topics"])})
        truth = MultiLabelBinarizer(classes=columns).fit_transform([row["topics"] for row in rows])
        predicted = np.zeros_like(truth)
        predicted[:, np.searchsorted(columns, pipeline.topics)] = pipeline.decision_function(texts(rows)) > 0
        labels: Any = np.flatnonzero(truth.any(axis=0) | predicted.any(axis=0))
        log_loss = ece = None
    else:
        truth = np.array([row["topics"][0] for row in rows])
        probabilities = pipeline.predict_proba(texts(rows))
        predicted = pipeline.topics[probabilities.argmax(axis=1)]
        labels = sorted({*predicted, *truth})
        given = np.where(truth[:, None] == pipeline.topics, probabilities, 0).sum(axis=1)
        log_loss = float(-np.log(np.maximum(given, np.finfo(float).eps)).mean())
        ece = expected_calibration_error(probabilities.max(axis=1), predicted == truth)
    return {
        "n_documents": len(rows),
        "accuracy": accuracy_score(truth, predicted),
        "micro_f1": f1_score(truth, predicted, average="micro", labels=labels, zero_division=0),
        "macro_f1": f1_score(truth, predicted, average="macro", labels=labels, zero_division=0),
        "log_loss": log_loss,
        "expected_calibration_error": ece,
    }


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """|share right - mean confidence| over equal-width bins of the top probability, weighted by their documents."""
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    return float(abs(np.bincount(bins, right - confidence)).sum() / len(confidence))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="fit, and print what it cost as JSON")
    training.add_argument("--data", type=Path, required=True)
    training.add_argument("--out", type=Path, help="where the pickled model goes; nowhere without it")
    training.add_argument("--method", choices=METHODS, default="calibrated")
    evaluation = commands.add_parser("evaluate", help="print the metrics of a trained model as JSON")
    evaluation.add_argument("--model", type=Path, required=True)
    evaluation.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    if args.command == "train" and args.out and args.method != "calibrated":
        parser.error("--out is for the method calibrated: nothing evaluates the others")
    answer = train(args.data, args.out, args.method) if args.command == "train" else evaluate(args.model, args.data)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
