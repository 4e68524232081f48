"""The extension module: what it exports, whose libraries it uses, and that what is generated is up to date."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from observing import LOCAL

import libpresence
from libpresence import Tracker, _ffi, _native

ROOT = Path(__file__).resolve().parents[2]
MODULE = _ffi.__file__


def test_exports_its_entry_point_alone() -> None:
    listing = subprocess.run(["nm", "-D", "--defined-only", MODULE], capture_output=True, text=True, check=True).stdout
    assert {line.split()[-1].split("@")[0] for line in listing.splitlines()} == {"PyInit__ffi"}


def test_bundled_libraries_are_its_own() -> None:
    assert _native.self_contained() == (True, "")


def test_bundled_libraries_stay_its_own_beside_others() -> None:
    """Also when another libuv was loaded for everybody to see."""
    found = ctypes.util.find_library("uv") if hasattr(ctypes, "util") else None
    text = (
        "import ctypes, ctypes.util\n"
        "name = ctypes.util.find_library('uv')\n"
        "name and ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)\n"
        "from libpresence import _native\nprint(_native.self_contained())\n"
    )
    result = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, env=os.environ)
    assert result.stdout.strip() == "(True, '')", (result, found)


def test_version_is_that_of_the_header() -> None:
    header = (ROOT / "core/include/presence.h").read_text()
    parts = [re.search(rf"VERSION_{part} (\d+)", header) for part in ("MAJOR", "MINOR", "PATCH")]
    assert libpresence.__version__ == ".".join(part[1] for part in parts if part)


def test_generated_files_are_up_to_date() -> None:
    subprocess.run([sys.executable, str(ROOT / "bindings/generate.py"), "--check"], check=True)


def test_every_function_of_the_header_is_declared() -> None:
    headers = [ROOT / "core/include" / name for name in ("presence.h", "presence/sim.h")]
    header = re.sub(r"/\*.*?\*/", "", "".join(path.read_text() for path in headers), flags=re.S)
    names = set(re.findall(r"PRESENCE_API[^;(]*?\b(presence_\w+)\(", header))
    assert len(names) > 40
    assert names <= set(dir(_ffi.lib))


def test_package_is_typed() -> None:
    assert (Path(libpresence.__file__).parent / "py.typed").exists()


def test_log_lines_of_the_core_come_through_logging(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "libpresence")
    with Tracker(**LOCAL, log_level="debug"):
        pass
    assert any(record.name == "libpresence" for record in caplog.records)


def test_no_file_descriptor_is_left() -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    with Tracker(**LOCAL):
        pass
    before = count()
    for _ in range(5):
        with Tracker(**LOCAL) as tracker:
            tracker.track(tracker, "t", "k")
        del tracker
    import gc

    gc.collect()
    assert count() <= before
