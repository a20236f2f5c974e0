"""Runs the commands of docs/story.md against a server of its own, and compares what they print with what stands there.

    python tests/e2e/story.py PATH/TO/topicd            fails at the first command that prints something else
    python tests/e2e/story.py PATH/TO/topicd --write    writes what they print into the file

Needs grpcurl beside this Python. Times of day and durations aren't compared.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from clients import ROOT, fail, serving

STORY = ROOT / "docs" / "story.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Documents are looked at after their callers have their answers.
IS_LATER = "ListReviewCandidates"
LATEST_SECONDS = 10
VOLATILE = re.compile(r'"\d{4}-\d\d-\d\dT[\d:.]+Z"|"\d+(\.\d+)?s"')


def is_complete(command: str) -> bool:
    """Whether a shell would run it, rather than wait for more lines."""
    return subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode == 0


def commands(block: str) -> list[tuple[str, str]]:
    """The commands of a block, each with what follows it."""
    found: list[tuple[str, str]] = []
    lines = block.splitlines()
    while lines:
        command = lines.pop(0).removeprefix("$ ")
        while not is_complete(command):
            command += "\n" + lines.pop(0)
        n_printed = next((n for n, line in enumerate(lines) if line.startswith("$ ")), len(lines))
        found.append((command, "".join(line + "\n" for line in lines[:n_printed])))
        lines = lines[n_printed:]
    return found


def run(command: str, address: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = "set -o pipefail\n" + command.replace("localhost:50051", address)
    run = ["bash", "-c", command]
    until = time.monotonic() + (LATEST_SECONDS if IS_LATER in command else 0)
    while True:
        done = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
        if done.returncode == 0 or time.monotonic() > until:
            return done


def main(topicd: str, write: bool) -> None:
    story = STORY.read_text()
    with serving(topicd) as server:
        address = server.address()

        def told(block: re.Match[str]) -> str:
            text = ""
            for command, expected in commands(block[1]):
                done = run(command, address)
                if done.returncode != 0:
                    fail(f"`{command}` succeeds", done.stdout + done.stderr)
                printed = done.stdout
                if not write and VOLATILE.sub("", printed) != VOLATILE.sub("", expected):
                    fail(f"`{command}` prints what {STORY.name} says\n{expected}", printed)
                text += f"$ {command}\n{printed}"
            return f"```console\n{text}```"

        story = BLOCK.sub(told, story)
    if write:
        STORY.write_text(story)
    print(f"ok: {STORY.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1], "--write" in sys.argv[2:])
