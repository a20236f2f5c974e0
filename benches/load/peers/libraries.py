"""The libraries that topicd is measured against, each with a model of the same corpus.

scikit-learn is TF-IDF over words and word pairs into linear SVMs, with a softmax of the scores in place of its calibration, which would
cost three times as much a document. fastText has word pairs and softmax, as its documentation has for text.
"""

import gzip
import json
import tempfile
from pathlib import Path

import numpy as np

Answer = tuple[list[str], np.ndarray]


def read_rows(path: Path) -> tuple[list[str], list[str]]:
    """Texts, and the first topic of each."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [f"{row.get('title', '')}\n{row['text']}" for row in rows], [row.get("topics", [""])[0] for row in rows]


class ScikitLearn:
    def __init__(self, train: Path) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import LinearSVC

        self.pipeline = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), LinearSVC())
        self.pipeline.fit(*read_rows(train))
        self.topics = [str(topic) for topic in self.pipeline.classes_]

    def answers(self, texts: list[str]) -> list[Answer]:
        """All topics of each text with their probabilities."""
        scores = np.exp(self.pipeline.decision_function(texts))
        return [(self.topics, row / row.sum()) for row in scores]

    def best(self, texts: list[str]) -> None:
        """The best topic of each text, as fast as the library finds it."""
        self.pipeline.predict(texts)


class FastText:
    def __init__(self, train: Path) -> None:
        import fasttext

        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            for text, topic in zip(*read_rows(train), strict=True):
                print(f"__label__{topic}", " ".join(text.split()), file=file)
            file.flush()
            self.model = fasttext.train_supervised(file.name, wordNgrams=2, epoch=5, thread=2, verbose=0)

    def answers(self, texts: list[str]) -> list[Answer]:
        answers = []
        for text in texts:
            # Not model.predict: fasttext 0.9.2 doesn't know numpy 2.
            found = self.model.f.predict(" ".join(text.split()) + "\n", 100, 0.0, "strict")
            answers.append(([topic for _, topic in found], np.array([probability for probability, _ in found])))
        return answers

    def best(self, texts: list[str]) -> None:
        # One call for all: the loop is fastText's own, in C++.
        self.model.f.multilinePredict(texts, 1, 0.0, "strict")


LIBRARIES = {"scikit-learn": ScikitLearn, "fasttext": FastText}
