"""Do the alert rules and the dashboard in deploy/ fit what a running topicd shows? Every expression must be PromQL, and every
metric in it one that is on the page. Where promtool is installed (Debian's package prometheus has it), it reads both, too.

    python tests/e2e/watching.py PATH/TO/topicd
"""

import json
import re
import shutil
import subprocess
import sys
import urllib.request

import promql_parser
import yaml
from clients import ROOT, check, serving

# What Prometheus makes itself.
OWN = {"up"}


def names(expression: str) -> set[str]:
    """The metrics of a PromQL expression, which is parsed for it."""
    text = promql_parser.parse(expression).prettify()
    selectors = re.findall(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{", text)
    return set(selectors)


def rules() -> dict[str, str]:
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "topicd.rules.yml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels() -> dict[str, str]:
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "topicd.json").read_text())
    targets = [(panel["title"], target) for panel in dashboard["panels"] for target in panel["targets"]]
    # Grafana puts a duration there.
    return {f"{title} {target['refId']}": target["expr"].replace("$__rate_interval", "5m") for title, target in targets}


def check_with_promtool(promtool: str, page: str) -> None:
    for what, arguments, text in (
        ("metrics", ["check", "metrics"], page),
        ("alert rules", ["check", "rules", str(ROOT / "deploy" / "prometheus" / "topicd.rules.yml")], None),
    ):
        ran = subprocess.run([promtool, *arguments], input=text, capture_output=True, text=True)
        check(f"promtool accepts the {what}", ran.returncode == 0, ran.stdout + ran.stderr)


def main(topicd: str) -> None:
    with serving(topicd) as server:
        with urllib.request.urlopen(f"http://{server.address('metrics at /metrics')}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        shown = set(re.findall(r"^([a-z0-9_]+)[{ ]", page, re.MULTILINE))
        if promtool := shutil.which("promtool"):
            check_with_promtool(promtool, page)
        else:
            print("promtool isn't installed: its checks are left out")
        for what, expressions in (("alert rules", rules()), ("dashboard", panels())):
            unknown = {name: missing for name, text in expressions.items() if (missing := names(text) - shown - OWN)}
            check(f"{what}: {len(expressions)} expressions of metrics that there are", not unknown, unknown)


if __name__ == "__main__":
    main(sys.argv[1])
