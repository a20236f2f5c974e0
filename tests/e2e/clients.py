"""Starts topicd and asks it for topics, and teaches it, as three kinds of users would: grpcurl, Python, the command line.

What only real clients can show: that reflection describes enough for a client without a .proto file, that protobuf's
JSON is the same from grpcurl and from `topicd classify --json`, and that the process obeys SIGTERM. clients.sh installs
what this needs and runs it. Prints a line a check and stops at the first that fails, with what was seen.
"""

import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import grpc
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples" / "python"))
from classify import classify, read_article  # noqa: E402  (the example itself is under test)

ARTICLE = ROOT / "examples" / "articles" / "peace-talks.txt"
GRPCURL = Path(sys.executable).with_name("grpcurl")
SERVICE = "topicd.v1.ClassifierService"
DATASETS = "topicd.v1.DatasetService"
DESK = "classifiers/desk"
START_SECONDS = 60
STOP_SECONDS = 10
Probabilities = dict[str, float]


def fail(what: str, seen: object) -> NoReturn:
    sys.exit(f"FAILED: {what}\nseen: {seen}")


def check(what: str, holds: bool, seen: object) -> None:
    if not holds:
        fail(what, seen)
    print(f"ok: {what}", flush=True)


class Server:
    """A `topicd serve` child on a free port, with an empty data directory."""

    def __init__(self, topicd: str, data_dir: Path, *arguments: str) -> None:
        anywhere = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
        command = [topicd, "serve", *anywhere, "--data-dir", str(data_dir), "--log-format", "json", *arguments]
        self.child = subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")
        self.log: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        # Read to the end, or the pipe fills up and the server waits for us.
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        assert self.child.stderr
        for line in self.child.stderr:
            self.log.append(line)
            self._lines.put(line)
        self._lines.put(None)

    def address(self, message: str = "listening") -> str:
        """Waits for the log line that says where the server listens, or shows its metrics."""
        try:
            while (line := self._lines.get(timeout=START_SECONDS)) is not None:
                # A start that fails may say so before there is a log.
                fields = json.loads(line).get("fields", {}) if line.startswith("{") else {}
                if fields.get("message") == message:
                    return fields["address"]
        except queue.Empty:
            fail(f"the server says that it is listening within {START_SECONDS} s", self.tail())
        fail(f"the server starts; it exited with {self.child.wait()}", self.tail())

    def stop(self) -> int | None:
        """The exit code after SIGTERM, or None when it didn't come in time."""
        self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def tail(self) -> str:
        return "".join(self.log[-20:]) or "no log"


@contextmanager
def serving(topicd: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(topicd, Path(folder) / "data")
        try:
            yield server
        finally:
            if server.child.poll() is None:
                server.child.kill()
                server.child.wait()


def run(*command: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, input=stdin, capture_output=True, encoding="utf-8", timeout=60)
    except subprocess.TimeoutExpired:
        fail(f"`{' '.join(map(str, command))}` ends within 60 s", "it was still running")


def grpcurl(*arguments: str, request: Any = None) -> subprocess.CompletedProcess[str]:
    """grpcurl with no .proto file: all that it knows comes from the server's reflection."""
    data = [] if request is None else ["-d", "@"]
    return run(GRPCURL, "-plaintext", "-max-time", "30", *data, *arguments, stdin=json.dumps(request))


def output(result: subprocess.CompletedProcess[str]) -> str:
    if result.returncode != 0:
        fail(f"`{' '.join(map(str, result.args))}` succeeds", f"exit code {result.returncode}\n{result.stderr}")
    return result.stdout


def message(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one protobuf JSON message that a command printed."""
    printed = output(result)
    try:
        return json.loads(printed)
    except json.JSONDecodeError:
        fail(f"`{' '.join(map(str, result.args))}` prints one JSON message", printed)


def probabilities(response: dict[str, Any]) -> Probabilities:
    """Protobuf JSON leaves out fields that are zero."""
    return {score["topic"]: score.get("probability", 0.0) for score in response.get("topics", [])}


def check_answer(client: str, answer: Probabilities) -> None:
    ranked = list(answer.values()) == sorted(answer.values(), reverse=True)
    check(f"{client}: topics come by falling probability", bool(answer) and ranked, answer)
    top = set(list(answer)[:2])
    check(f"{client}: diplomacy and conflict are the most probable topics", top == {"diplomacy", "conflict"}, answer)


def check_training(address: str) -> None:
    """80 articles by grpcurl, 20 more by the Python example, then back to the first version."""
    importing = f"{DATASETS}/ImportExamples"
    articles = (ROOT / "examples" / "training" / "import.json").read_text()
    imported = message(run(GRPCURL, "-plaintext", "-d", "@", address, importing, stdin=articles))
    check("grpcurl: 80 labelled articles are imported", imported.get("datasetRevision") == 1, imported)
    request = {"classifier": DESK, "waitTimeout": "60s"}
    job = message(grpcurl(address, f"{SERVICE}/Train", request=request)).get("trainingJob", {})
    check("grpcurl: they make a version", job.get("modelVersion") == f"{DESK}/versions/1", job)
    request = {"model": DESK, "document": {"title": "Late header wins the cup", "text": "The final went to extra time."}}
    before = message(grpcurl(address, f"{SERVICE}/Classify", request=request))
    check("grpcurl: that version answers", before.get("modelVersion") == f"{DESK}/versions/1", before)
    check("grpcurl: and says sports", list(probabilities(before))[0] == "sports", before)

    example = ROOT / "examples" / "python" / "train.py"
    printed = output(run(sys.executable, example, address, ROOT / "examples" / "training" / "next-20.json"))
    check("Python: 20 more make the next one", f"{DESK}/versions/2: out-of-fold accuracy" in printed, printed)
    check("Python: which says sports", f"{DESK}/versions/2 says: sports" in printed, printed)

    models = "topicd.v1.ModelService"
    listed = message(grpcurl(address, f"{models}/ListModelVersions", request={"classifier": DESK}))
    names = [version["name"] for version in listed.get("modelVersions", [])]
    check("grpcurl: both are listed", names == [f"{DESK}/versions/2", f"{DESK}/versions/1"], listed)
    rolled_back = message(grpcurl(address, f"{models}/RollbackClassifier", request={"classifier": DESK}))
    stable = rolled_back.get("classifier", {}).get("stableVersion")
    check("grpcurl: rolling back", stable == f"{DESK}/versions/1", rolled_back)
    after = message(grpcurl(address, f"{SERVICE}/Classify", request=request))
    check("grpcurl: the first version answers as before", after == before, after)


def check_metrics(address: str) -> None:
    """What Prometheus' own parser for Python makes of the page."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
        families = {family.name: family for family in text_string_to_metric_families(page.read().decode())}
    answered = [
        sample.value
        for sample in families["rpc_server_calls"].samples
        if sample.labels == {"rpc_method": f"{SERVICE}/Classify", "rpc_response_status_code": "OK"}
    ]
    check("metrics: the Classify calls are counted", len(answered) == 1 and answered[0] >= 3, answered)
    kinds = {name: families[name].type for name in ("rpc_server_call_duration_seconds", "topicd_documents")}
    expected = {"rpc_server_call_duration_seconds": "histogram", "topicd_documents": "counter"}
    check("metrics: durations are a histogram, documents a counter", kinds == expected, kinds)
    undocumented = [family.name for family in families.values() if not family.documentation]
    check("metrics: each says what it is", not undocumented, undocumented)


def main(topicd: str) -> None:
    title, text = read_article(ARTICLE)
    request = {"document": {"title": title, "text": text}}

    with serving(topicd) as server:
        metrics = server.address("metrics at /metrics")
        address = server.address()
        check("the server logs where it listens", not address.endswith(":0"), address)

        health = message(grpcurl(address, "grpc.health.v1.Health/Check", request={}))
        check("grpc.health.v1.Health/Check says SERVING", health.get("status") == "SERVING", health)

        services = output(grpcurl(address, "list")).split()
        check(f"grpcurl list names {SERVICE}", SERVICE in services, services)
        description = output(grpcurl(address, "describe", SERVICE))
        check(f"grpcurl describe {SERVICE} shows Classify", "rpc Classify (" in description, description)

        answers = {"grpcurl": probabilities(message(grpcurl(address, f"{SERVICE}/Classify", request=request)))}
        check_answer("grpcurl", answers["grpcurl"])

        try:
            with grpc.insecure_channel(address) as channel:
                response = classify(channel, title, text)
        except grpc.RpcError as error:
            fail("the Python example classifies", error)
        answers["Python"] = {score.topic: score.probability for score in response.topics}
        check_answer("Python", answers["Python"])

        answers["topicd classify"] = probabilities(message(run(topicd, "classify", "--json", ARTICLE)))
        check_answer("topicd classify", answers["topicd classify"])

        reference = answers["grpcurl"]
        agree = all(
            answer.keys() == reference.keys() and all(abs(answer[topic] - reference[topic]) <= 1e-6 for topic in answer)
            for answer in answers.values()
        )
        check("all three agree on every probability within 1e-6", agree, answers)

        refusal = grpcurl(address, f"{SERVICE}/Classify", request={"document": {}})
        check("an empty document is refused with InvalidArgument", "Code: InvalidArgument" in refusal.stderr, refusal)
        again = probabilities(message(grpcurl(address, f"{SERVICE}/Classify", request=request)))
        check("the request after the refused one gets the same answer as before", again == reference, again)

        check_training(address)
        check_metrics(metrics)

        code = server.stop()
        seen = f"still running\n{server.tail()}" if code is None else f"exit code {code}\n{server.tail()}"
        check(f"SIGTERM ends the server with exit code 0 within {STOP_SECONDS} s", code == 0, seen)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} PATH/TO/topicd")
    main(sys.argv[1])
