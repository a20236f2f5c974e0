"""Measures training over the wire, and fails where a promise isn't kept. Prints a Markdown table.

    python benches/training/over_the_wire.py --topicd target/release/topicd --corpora CORPORA

CORPORA holds wcep_topics/train.jsonl.gz and 20newsgroups_bydate/train.jsonl.gz. What it needs:
pip install -r examples/python/requirements.txt. Linux only: it reads /proc.
"""

import argparse
import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

STAGES = ["COUNTING_TERMS", "CROSS_VALIDATION", "CALIBRATION", "FINAL_FIT"]
N_CALLS = 2000
N_SHORT_DOCUMENTS = 1_000_000
ROWS: list[tuple[str, str, str, bool]] = []


def row(what: str, required: str, seen: str, holds: bool) -> None:
    ROWS.append((what, required, seen, holds))
    print(f"{'ok' if holds else 'FAILED'}: {what}: {seen} ({required})", file=sys.stderr, flush=True)


class Server:
    def __init__(self, topicd: str, folder: Path, *arguments: str) -> None:
        command = [topicd, "serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir", str(folder)]
        self.child = subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, encoding="utf-8")
        assert self.child.stderr
        for line in self.child.stderr:
            fields = json.loads(line).get("fields", {}) if line.startswith("{") else {}
            if fields.get("message") == "listening":
                self.address = fields["address"]
                break
        else:
            sys.exit("the server doesn't start")
        threading.Thread(target=self.child.stderr.read, daemon=True).start()
        self.channel = grpc.insecure_channel(self.address)
        self.pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self.methods: dict = {}

    def method(self, name: str):
        """The method's request class, and what calls it."""
        if name not in self.methods:
            service, method = name.split("/")
            descriptor = self.pool.FindServiceByName(f"topicd.v1.{service}").methods_by_name[method]
            request, response = GetMessageClass(descriptor.input_type), GetMessageClass(descriptor.output_type)
            kind = self.channel.unary_stream if method == "WatchTrainingJob" else self.channel.unary_unary
            path = f"/topicd.v1.{name}"
            self.methods[name] = request, kind(path, request.SerializeToString, response.FromString)
        return self.methods[name]

    def call(self, name: str, **fields):
        request, method = self.method(name)
        return method(request(**fields), timeout=600)

    def memory_mib(self, key: str) -> float:
        for line in Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) / 1024
        return 0.0

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_) -> None:
        self.channel.close()
        self.child.terminate()
        self.child.wait()


def read(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write(path: Path, documents) -> Path:
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(document) + "\n" for document in documents)
    return path


def import_file(topicd: str, server: Server, path: Path, classifier: str) -> float:
    begun = time.perf_counter()
    command = [topicd, "dataset", "import", path, "--server", server.address, "--classifier", classifier]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def same_bytes(topicd: str, corpora: Path, folder: Path) -> None:
    train = corpora / "wcep_topics" / "train.jsonl.gz"
    with Server(topicd, folder / "same") as server:
        import_file(topicd, server, train, "wcep")
        job = server.call("ClassifierService/Train", classifier="classifiers/wcep", wait_timeout={"seconds": 500}).training_job
        version = server.call("ModelService/GetModelVersion", model_version=job.model_version).model_version
    out = folder / "wcep.topicd"
    subprocess.run([topicd, "train", "--data", train, "--out", out], check=True, stdout=subprocess.DEVNULL)
    is_same = hashlib.sha256(out.read_bytes()).hexdigest() == version.artifact_sha256
    row(f"{job.document_count} wcep items by ImportExamples and Train, and by topicd train", "same SHA-256",
        "same" if is_same else "differs", is_same)


def classify_meanwhile(topicd: str, corpora: Path, folder: Path) -> None:
    originals = read(corpora / "20newsgroups_bydate" / "train.jsonl.gz")

    def variants():
        for variant in range(5):
            for document in originals:
                words = document["text"].split(" ")
                kept = [word for place, word in enumerate(words) if (place + variant) % 5]
                yield {**document, "title": f"{document['title']} {variant}", "text": " ".join(kept)}

    path = write(folder / "many.jsonl", variants())
    with Server(topicd, folder / "meanwhile") as server:
        import_file(topicd, server, path, "many")
        articles = [{"title": d["title"], "text": d["text"][:2000]} for d in originals[:: len(originals) // 50]]
        expected = [server.call("ClassifierService/Classify", document=article) for article in articles]
        request, classify = server.method("ClassifierService/Classify")
        requests = [request(document=article) for article in articles]
        job = server.call("ClassifierService/Train", classifier="classifiers/many").training_job
        begun, seconds, n_wrong = time.perf_counter(), [], 0
        state = "STATE_RUNNING"
        while state == "STATE_RUNNING":
            for place in range(50):
                start = time.perf_counter()
                answer = classify(requests[place], timeout=10)
                seconds.append(time.perf_counter() - start)
                n_wrong += answer != expected[place]
                time.sleep(0.01)
            job = server.call("ModelService/GetTrainingJob", training_job=job.name).training_job
            state = job.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number[job.state].name
        took = time.perf_counter() - begun
    seconds.sort()
    slowest, p99 = 1000 * seconds[-1], 1000 * seconds[len(seconds) * 99 // 100]
    what = f"{len(seconds)} Classify calls during a training of {job.document_count} documents ({took:.0f} s)"
    row(what, f"at least {N_CALLS}, none fails, each answer is its version's", f"{n_wrong} differ",
        n_wrong == 0 and len(seconds) >= N_CALLS and state == "STATE_SUCCEEDED")
    row("the slowest of them", "at most 100 ms", f"{slowest:.1f} ms (99th percentile {p99:.1f} ms)", slowest <= 100)


def import_many(topicd: str, folder: Path) -> None:
    words = ["peace", "talks", "market", "striker", "court", "election", "storm", "virus", "film", "comet"]

    def documents():
        for number in range(N_SHORT_DOCUMENTS):
            text = " ".join(words[(number * place + place * place) % 10] for place in range(23))
            yield {"text": f"{number} {text}.", "topics": [words[number % 10]]}

    path = write(folder / "short.jsonl", documents())
    with Server(topicd, folder / "short") as server:
        idle = server.memory_mib("VmRSS")
        took = import_file(topicd, server, path, "short")
        above = server.memory_mib("VmHWM") - idle
    rate = N_SHORT_DOCUMENTS / took
    row(f"import of {N_SHORT_DOCUMENTS:,} documents of 25 words", "at least 20,000 a second", f"{rate:,.0f} a second", rate >= 20_000)
    row("the server's memory meanwhile", "at most 300 MB above idle", f"{above:.0f} MiB above {idle:.0f}", above <= 280)


def cancel_in_each_stage(topicd: str, corpora: Path, folder: Path) -> None:
    with Server(topicd, folder / "cancel") as server:
        import_file(topicd, server, corpora / "20newsgroups_bydate" / "train.jsonl.gz", "news")
        for stage in STAGES:
            job = server.call("ClassifierService/Train", classifier="classifiers/news").training_job
            for update in server.call("ModelService/WatchTrainingJob", training_job=job.name):
                enum = update.training_job.DESCRIPTOR.fields_by_name["stage"].enum_type
                if enum.values_by_number[update.training_job.stage].name == f"STAGE_{stage}":
                    break
            begun = time.perf_counter()
            job = server.call("ModelService/CancelTrainingJob", training_job=job.name).training_job
            took = time.perf_counter() - begun
            time.sleep(max(0.0, 1 - took))
            before = server.cpu_seconds()
            time.sleep(0.5)
            used = server.cpu_seconds() - before
            holds = took <= 1 and used <= 0.02 and not job.model_version
            row(f"cancelling in {stage}", "idle within 1 s", f"stopped after {took:.2f} s, then {used:.2f} CPU s in 0.5 s", holds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topicd", required=True)
    parser.add_argument("--corpora", required=True, type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        same_bytes(arguments.topicd, arguments.corpora, Path(folder))
        cancel_in_each_stage(arguments.topicd, arguments.corpora, Path(folder))
        import_many(arguments.topicd, Path(folder))
        classify_meanwhile(arguments.topicd, arguments.corpora, Path(folder))
    print("| what | required | seen | |\n|---|---|---|---|")
    for what, required, seen, holds in ROWS:
        print(f"| {what} | {required} | {seen} | {'holds' if holds else '**fails**'} |")
    sys.exit(not all(holds for *_, holds in ROWS))


if __name__ == "__main__":
    main()
