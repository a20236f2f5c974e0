"""How fast a library classifies texts that are in memory, on one thread: one pass, in seconds, for each line that comes in."""

import argparse
import sys
import time
from pathlib import Path

from libraries import LIBRARIES, read_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("--train", type=Path, required=True, help="train.jsonl.gz")
    parser.add_argument("--documents", type=Path, required=True, help="test.jsonl.gz")
    args = parser.parse_args()
    library = LIBRARIES[args.library](args.train)
    # fastText takes lines.
    texts = [" ".join(text.split()) + "\n" for text in read_rows(args.documents)[0]]
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        library.best(texts)
        print(time.perf_counter() - begun, flush=True)


if __name__ == "__main__":
    main()
