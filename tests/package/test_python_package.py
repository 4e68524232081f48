"""The Python package as it is shipped: what the installed wheel and the source package hold."""

import importlib.metadata
import pathlib
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_wheel_holds_the_package():
    """The one that pip installed into this environment."""
    names = {str(file) for file in importlib.metadata.files("libpresence")}
    modules = {str(path.relative_to(ROOT / "python")) for path in (ROOT / "python/libpresence").rglob("*.py*") if path.suffix != ".pyc"}
    assert len(modules) > 30 and modules <= names
    assert {"libpresence/testing.py", "libpresence/phoenix/__init__.py", "libpresence/py.typed", "libpresence/_ffi.abi3.so"} <= names


def test_the_wheel_holds_the_licences_of_what_is_linked_into_it():
    names = {pathlib.PurePath(str(file)).name: file for file in importlib.metadata.files("libpresence") if ".dist-info" in str(file)}
    assert names["LICENSE"].read_text() == (ROOT / "LICENSE").read_text()
    assert names["LICENSES-THIRD-PARTY"].read_text() == (ROOT / "LICENSES-THIRD-PARTY").read_text()


def test_the_source_package_holds_what_it_is_built_from(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.split("/", 1)[1] for name in tar.getnames() if "/" in name}
    wanted = ["LICENSES-THIRD-PARTY", "core/include/presence/sim.h", "core/src/virtual/virtual_member.c", "python/libpresence/testing.py", "bindings/python/glue.c", "CMakeLists.txt"]
    assert set(wanted) <= names
