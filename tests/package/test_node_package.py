"""The Node package as npm would publish it."""

import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINKED = ["OpenSSL", "libuv", "jansson", "lz4", "zstd", "nanopb"]


def test_the_npm_package_holds_the_addon_and_all_licences():
    done = subprocess.run(["npm", "pack", "--dry-run", "--json", "--ignore-scripts", "--offline"], cwd=ROOT / "node", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    names = {file["path"] for file in json.loads(done.stdout)[0]["files"]}
    assert {"LICENSE", "LICENSES-THIRD-PARTY", "README.md", "index.js", "index.d.ts", "lib/options.js"} <= names
    assert any(name.startswith("prebuilds/") and name.endswith("/presence.node") for name in names)


def test_the_licences_are_those_of_the_tree():
    for name in ("LICENSE", "LICENSES-THIRD-PARTY"):
        assert (ROOT / "node" / name).read_bytes() == (ROOT / name).read_bytes()
    head = (ROOT / "LICENSES-THIRD-PARTY").read_text().split("====")[0]
    assert [line.split()[0] for line in head.splitlines() if "Copyright" in line and not line.strip().startswith("Copyright")] == LINKED


def test_the_addon_is_stripped():
    [addon] = (ROOT / "node/prebuilds").glob("*/presence.node")
    sections = subprocess.run(["objdump", "-h", addon], capture_output=True, text=True, timeout=60).stdout
    assert ".text" in sections and ".debug_info" not in sections
