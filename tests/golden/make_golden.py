"""Writes the golden files beside this script: what scikit-learn computes, for the Rust tests to agree with.

They are committed, so the tests need no Python. To write them again, which changes nothing with these versions:

    pip install scikit-learn==1.5.2 numpy==2.4.6 scipy==1.17.1
    OMP_NUM_THREADS=1 python3.11 tests/golden/make_golden.py

Numbers are rounded far beyond what a test can ask for, so that another processor's last bits don't show up as a change.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, precision_recall_fscore_support
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

DOCUMENTS = [
    ("Peace talks: the envoys of two countries sign a treaty.", ["diplomacy"]),
    ("Peace talks stall; shelling goes on, and on, and on.", ["conflict", "diplomacy"]),
    ("The shelling of the port kills 12.", ["conflict"]),
    ("Troops shell a port town. The town burns.", ["conflict"]),
    ("The CAFÉ team wins the cup final 3 to 2", ["sports"]),
    ("cup final: the team sign a new coach", ["sports"]),
    ("Ministers of 2 countries talk, sign a treaty, and talk again", ["diplomacy"]),
    ("The team loses the final; a coach talks", ["sports"]),
]


def linear_svc() -> dict[str, Any]:
    """One-vs-rest squared-hinge SVMs with a regularised bias, solved almost exactly.

    The rows are rounded after normalising, so what the file says is what was fitted.
    """
    random = np.random.RandomState(7)
    labels = np.repeat([0, 1, 2], [20, 12, 8])
    centres = random.normal(size=(3, 6))
    rows = normalize((centres[labels] + 1.2 * random.normal(size=(40, 6))).round(4)).round(6)
    order = random.permutation(40)
    rows, labels = rows[order], labels[order]
    negatives_per_positive = [float((labels != topic).sum() / (labels == topic).sum()) for topic in range(3)]
    positive_weights = {
        "none": [1.0, 1.0, 1.0],
        "sqrt": [max(1.0, ratio**0.5) for ratio in negatives_per_positive],
        "full": [max(1.0, ratio) for ratio in negatives_per_positive],
    }
    exact = {"dual": True, "intercept_scaling": 1, "tol": 1e-9, "max_iter": 1_000_000, "random_state": 0}
    cases = []
    for weighting, factors in positive_weights.items():
        for c in (0.25, 1.0, 4.0):
            fits = [
                LinearSVC(C=c, class_weight={1: factor}, **exact).fit(rows, labels == topic)
                for topic, factor in enumerate(factors)
            ]
            cases.append(
                {
                    "weighting": weighting,
                    "c": c,
                    "positive_factor": rounded(factors),
                    "coef": rounded([fit.coef_[0] for fit in fits], 9),
                    "intercept": rounded([fit.intercept_[0] for fit in fits], 9),
                }
            )
    return {"rows": rows.tolist(), "labels": labels.tolist(), "n_topics": 3, "cases": cases}


def tfidf() -> dict[str, Any]:
    """Unigrams alone; unigrams with bigrams at half weight under one norm; the same with the supervised weight."""
    texts = [text for text, _ in DOCUMENTS]
    words = {"token_pattern": r"\w+", "sublinear_tf": True, "smooth_idf": True}

    plain = TfidfVectorizer(**words, norm="l2", ngram_range=(1, 1), min_df=1)
    plain_rows = plain.fit_transform(texts)

    unigrams = TfidfVectorizer(**words, norm=None, ngram_range=(1, 1), min_df=1)
    bigrams = TfidfVectorizer(**words, norm=None, ngram_range=(2, 2), min_df=2)
    blocks = hstack([unigrams.fit_transform(texts) * 1.0, bigrams.fit_transform(texts) * 0.5]).tocsr()
    terms = [*unigrams.get_feature_names_out(), *bigrams.get_feature_names_out()]
    idf = [*unigrams.idf_, *bigrams.idf_]

    topics = sorted({topic for _, given in DOCUMENTS for topic in given})
    holds = blocks.toarray() > 0
    weight = np.zeros(len(terms))
    for topic in topics:
        inside = np.array([topic in given for _, given in DOCUMENTS])
        p, q = holds[inside].sum(axis=0), holds[~inside].sum(axis=0)
        ratio = ((p + 1) / (inside.sum() + 1)) / ((q + 1) / ((~inside).sum() + 1))
        weight = np.maximum(weight, np.abs(np.log(ratio)) ** 0.5)

    return {
        "documents": [{"text": text, "topics": given} for text, given in DOCUMENTS],
        "unigrams": {
            "terms": plain.get_feature_names_out().tolist(),
            "idf": rounded(plain.idf_),
            "rows": rounded(plain_rows.toarray()),
        },
        "unigrams_and_bigrams": {
            "terms": terms,
            "idf": rounded(idf),
            "block_weight": [0.5 if " " in term else 1.0 for term in terms],
            "rows": rounded(normalize(blocks).toarray()),
        },
        "supervised": {
            "terms": terms,
            "supervised_weight": rounded(weight),
            "rows": rounded(normalize(blocks.multiply(weight).tocsr()).toarray()),
        },
    }


def metrics() -> dict[str, Any]:
    """Thirty predictions over five classes; the last class is labelled twice and never predicted."""
    random = np.random.RandomState(11)
    labels = np.array([0] * 11 + [1] * 8 + [2] * 6 + [3] * 3 + [4] * 2)
    scores = 1.3 * random.normal(size=(30, 5)) + 1.6 * np.eye(5)[labels] - np.array([0, 0, 0, 0, 3.5])
    units = np.floor(1e4 * np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(int)
    units[np.arange(30), units.argmax(axis=1)] += 10_000 - units.sum(axis=1)  # each row sums to one
    probabilities = units / 1e4
    predicted, top = probabilities.argmax(axis=1), probabilities.max(axis=1)

    bins = np.minimum((top * 15).astype(int), 14)
    ece = sum(abs(((predicted == labels) - top)[bins == b].sum()) for b in range(15)) / len(labels)
    over = {"labels": range(5), "zero_division": 0}
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted, **over)
    return {
        "probabilities": probabilities.tolist(),
        "labels": labels.tolist(),
        "accuracy": rounded(accuracy_score(labels, predicted)),
        "micro_f1": rounded(f1_score(labels, predicted, average="micro", **over)),
        "macro_f1": rounded(f1_score(labels, predicted, average="macro", **over)),
        "log_loss": rounded(log_loss(labels, probabilities, labels=range(5))),
        "expected_calibration_error": rounded(ece),
        "precision": rounded(precision),
        "recall": rounded(recall),
        "f1": rounded(f1),
        "support": support.tolist(),
        # A row is a label, a column a prediction.
        "confusion": confusion_matrix(labels, predicted, labels=range(5)).tolist(),
    }


def rounded(values: Any, decimals: int = 12) -> Any:
    return (np.round(np.asarray(values, dtype=float), decimals) + 0.0).tolist()  # + 0.0: no negative zeros


def write(name: str, content: dict[str, Any]) -> None:
    """Indented JSON, with each innermost list on one line."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda match: re.sub(r"\s*\n\s*", " ", match[0]), text)
    Path(__file__).with_name(name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write("linear_svc.json", linear_svc())
    write("tfidf.json", tfidf())
    write("metrics.json", metrics())
