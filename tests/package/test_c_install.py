"""The installed C library: pkg-config, CMake package, header, command."""

import os
import pathlib
import re
import shlex
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = '#include <presence.h>\n#include <stdio.h>\nint main(void) { return puts(presence_version()) < 0; }\n'


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def version():
    header = (ROOT / "core/include/presence.h").read_text()
    return ".".join(re.search(rf"PRESENCE_VERSION_{part} (\d+)", header).group(1) for part in ("MAJOR", "MINOR", "PATCH"))


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("an install prefix")
    run(["cmake", "--install", str(ROOT / "build"), "--prefix", str(prefix)])
    return prefix


def test_pkg_config(prefix, tmp_path):
    [pc] = prefix.glob("**/presence.pc")
    env = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent)}
    assert run(["pkg-config", "--modversion", "presence"], env=env).strip() == version()
    (tmp_path / "p.c").write_text(PROGRAM)
    flags = shlex.split(run(["pkg-config", "--cflags", "--libs", "presence"], env=env))
    run(["cc", "p.c", "-o", "p", *flags], cwd=tmp_path)
    assert run([str(tmp_path / "p")], env={**env, "LD_LIBRARY_PATH": str(pc.parent.parent)}).strip() == version()


def test_cmake_package(prefix, tmp_path):
    (tmp_path / "p.c").write_text(PROGRAM)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(p C)\nfind_package(presence REQUIRED)\nadd_executable(p p.c)\n"
        "target_link_libraries(p PRIVATE presence::presence)\n")
    run(["cmake", "-S", ".", "-B", "out", f"-DCMAKE_PREFIX_PATH={prefix}"], cwd=tmp_path)
    run(["cmake", "--build", "out"], cwd=tmp_path)
    assert run([str(tmp_path / "out/p")]).strip() == version()


def test_sim(prefix, tmp_path):
    """The virtual cluster is installed, and in the shared library."""
    [pc] = prefix.glob("**/presence.pc")
    env = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent)}
    (tmp_path / "p.c").write_text(
        "#include <presence/sim.h>\nint main(void) { presence_sim *sim = presence_sim_new(1); int rc = presence_sim_settle(sim, 1); "
        "presence_sim_free(sim); return rc; }\n")
    flags = shlex.split(run(["pkg-config", "--cflags", "--libs", "presence"], env=env))
    run(["cc", "p.c", "-o", "p", *flags], cwd=tmp_path)
    run([str(tmp_path / "p")], env={**env, "LD_LIBRARY_PATH": str(pc.parent.parent)})


def test_command(prefix):
    assert version() in run([str(prefix / "bin/presence"), "--version"])


def test_header_is_c11_and_cpp17(tmp_path):
    (tmp_path / "h.c").write_text("#include <presence.h>\n#include <presence/sim.h>\n")
    for compiler in (["gcc", "-std=c11"], ["clang", "-std=c11"], ["clang", "-x", "c++", "-std=c++17"]):
        run([*compiler, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", f"-I{ROOT}/core/include", "h.c"], cwd=tmp_path)
