#!/usr/bin/env bash
# deploy/sbom.sh [FILE]: writes what the release binary is made of as CycloneDX 1.6 JSON, to FILE or standard output. Needs cargo and
# Python 3. Crates that only build it (build scripts, procedural macros) are in it with the scope "excluded".
set -euo pipefail
cd "$(dirname "$0")/.."
# A release is built for Linux; what only other systems need isn't in it.
target=${TARGET:-x86_64-unknown-linux-gnu}
metadata=$(mktemp)
trap 'rm -f "$metadata"' EXIT
cargo metadata --locked --format-version 1 --filter-platform "$target" >"$metadata"
python3 - "$metadata" "${1:-/dev/stdout}" <<'PYTHON'
import hashlib
import json
import re
import sys
import tomllib
import uuid
from pathlib import Path

metadata = json.loads(Path(sys.argv[1]).read_text())
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
root = metadata["resolve"]["root"]
lock = Path("Cargo.lock").read_text()
checksums = {(p["name"], p["version"]): p.get("checksum") for p in tomllib.loads(lock)["package"]}


def is_macro(package):
    return any("proc-macro" in target["kind"] for target in packages[package]["targets"])


def dependencies(package, kinds):
    """Those of some kinds; a normal dependency has the kind None."""
    of = nodes[package]["deps"]
    return [dep["pkg"] for dep in of if any(kind["kind"] in kinds for kind in dep["dep_kinds"])]


def reached(package, kinds, follow):
    found, left = {package}, [package]
    while left:
        new = [d for d in dependencies(left.pop(), kinds) if d not in found and follow(d)]
        found.update(new)
        left.extend(new)
    return found


linked = reached(root, {None}, lambda package: not is_macro(package))
built = reached(root, {None, "build"}, lambda package: True)


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, kind="library"):
    # The older way of writing "or" is a slash.
    license = re.sub(r"\s*/\s*", " OR ", package["license"] or "")
    checksum = checksums.get((package["name"], package["version"]))
    urls = [("vcs", package["repository"]), ("website", package["homepage"])]
    return {
        "type": kind,
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "description": (package["description"] or "").strip(),
        "scope": "required" if package["id"] in linked else "excluded",
        **({"hashes": [{"alg": "SHA-256", "content": checksum}]} if checksum else {}),
        **({"licenses": [{"expression": license}]} if license else {}),
        "purl": purl(package),
        "externalReferences": [{"type": kind, "url": url} for kind, url in urls if url],
    }


def bundled_sqlite():
    """C code that the crate libsqlite3-sys brings, of which scanners know more than of the crate."""
    crate = next(package for package in packages.values() if package["name"] == "libsqlite3-sys")
    header = Path(crate["manifest_path"]).parent.joinpath("sqlite3/sqlite3.h").read_text()
    version = re.search(r'#define SQLITE_VERSION\s+"([^"]+)"', header).group(1)
    return purl(crate), {
        "type": "library",
        "bom-ref": f"pkg:generic/sqlite@{version}",
        "name": "sqlite",
        "version": version,
        "scope": "required",
        "licenses": [{"expression": "blessing"}],
        "purl": f"pkg:generic/sqlite@{version}",
        "cpe": f"cpe:2.3:a:sqlite:sqlite:{version}:*:*:*:*:*:*:*",
    }


def bundled_model():
    digest = hashlib.sha256(Path("models/news.topicd").read_bytes()).hexdigest()
    return {
        "type": "machine-learning-model",
        "bom-ref": "news.topicd",
        "name": "news.topicd",
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "licenses": [{"license": {"id": "CC-BY-SA-4.0"}}],
    }


in_order = sorted((p for p in built - {root}), key=lambda p: purl(packages[p]))
(by_crate, sqlite), model = bundled_sqlite(), bundled_model()
depends = {
    purl(packages[p]): sorted({purl(packages[d]) for d in dependencies(p, {None, "build"})}) for p in [root, *in_order]
}
depends[by_crate].append(sqlite["bom-ref"])
depends[purl(packages[root])].append(model["bom-ref"])
bom = {
    "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    # The same lock file gives the same bytes.
    "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, lock)}",
    "version": 1,
    "metadata": {"component": component(packages[root], "application")},
    "components": [component(packages[p]) for p in in_order] + [sqlite, model],
    "dependencies": [{"ref": ref, "dependsOn": on} for ref, on in depends.items()] + [{"ref": c["bom-ref"]} for c in (sqlite, model)],
}
Path(sys.argv[2]).write_text(json.dumps(bom, indent=2, ensure_ascii=False) + "\n")
required = sum(c["scope"] == "required" for c in bom["components"])
print(f"{required} components in the binary, {len(bom['components']) - required} that only build it", file=sys.stderr)
PYTHON
