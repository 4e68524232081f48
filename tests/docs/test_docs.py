"""What the documents say is true: quick starts run, named places exist, cited rules exist."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def quick_start(language):
    return re.search(rf"<!-- quick start: {language} -->\n```\w+\n(.*?)```", README, re.S).group(1)


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_python_quick_start(tmp_path):
    (tmp_path / "start.py").write_text(quick_start("python"))
    lines = run([sys.executable, "start.py"], cwd=tmp_path).splitlines()
    assert "'u1': {'metas': [{'status': 'online', 'phx_ref':" in lines[0] and lines[1] == "0"


def test_node_quick_start(tmp_path):
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules/libpresence").symlink_to(ROOT / "node")
    (tmp_path / "start.js").write_text(quick_start("node"))
    out = run(["node", "start.js"], cwd=tmp_path)
    assert "u1" in out and out.splitlines()[-1] == "0"


def test_c_quick_start(tmp_path):
    (tmp_path / "start.c").write_text(quick_start("c"))
    library = ROOT / "build/core"
    run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "start.c", "-o", "start", f"-I{ROOT}/core/include", f"-L{library}", "-lpresence",
         f"-Wl,-rpath,{library}"], cwd=tmp_path)
    assert run([str(tmp_path / "start")]).startswith('{"u1":{"metas":[{"status":"online","phx_ref":"')


def secure(language, secret_file):
    """the example of a cluster with a secret, on loopback"""
    text = re.search(rf"<!-- secure: {language} -->\n```\w+\n(.*?)```", README, re.S).group(1)
    assert "/etc/chat/presence.secret" in text and "10.0.0.1:7946" in text and "10.0.0.2:7946" in text
    return text.strip().replace("/etc/chat/presence.secret", str(secret_file)).replace("10.0.0.1:7946", "127.0.0.1:0").replace("10.0.0.2:7946", "127.0.0.1:9")


def expect_secure(command, tmp_path, write):
    """it runs with the secret, and without the file the error names the option"""
    write(secure_file := tmp_path / "presence.secret")
    secure_file.write_text("a secret of more than sixteen bytes\n")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0 and "started" in done.stdout, done.stdout + done.stderr
    secure_file.unlink()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode != 0 and "secret_file" in done.stdout + done.stderr


def test_python_secure_example(tmp_path):
    def write(path):
        (tmp_path / "secure.py").write_text(
            "import asyncio\nfrom libpresence import Presence\nasync def main():\n"
            f"    async with {secure('python', path)}:\n        print('started')\nasyncio.run(main())\n")
    expect_secure([sys.executable, "secure.py"], tmp_path, write)


def test_node_secure_example(tmp_path):
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules/libpresence").symlink_to(ROOT / "node")

    def write(path):
        (tmp_path / "secure.js").write_text(
            f"const {{ Presence }} = require('libpresence')\n{secure('node', path)}.then(users => {{ console.log('started'); return users.stop() }})\n")
    expect_secure(["node", "secure.js"], tmp_path, write)


def test_c_secure_example(tmp_path):
    library = ROOT / "build/core"

    def write(path):
        lines = secure("c", path)
        start = quick_start("c").replace('presence_config_set(config, "cluster", "chat");', f'presence_config_set(config, "cluster", "chat");\n{lines}\n')
        (tmp_path / "secure.c").write_text(start.replace("presence_owner_open(", 'puts("started");\n    presence_owner_open('))
        run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "secure.c", "-o", "secure", f"-I{ROOT}/core/include", f"-L{library}", "-lpresence",
             f"-Wl,-rpath,{library}"], cwd=tmp_path)
    expect_secure([str(tmp_path / "secure")], tmp_path, write)


def examples(document, language):
    return re.findall(rf"<!-- test: {language} -->\n```\w+\n(.*?)```", (ROOT / "docs" / document).read_text(), re.S)


def test_python_tests_of_an_app(tmp_path):
    texts = examples("testing-your-app.md", "python")
    for number, text in enumerate(texts):
        (tmp_path / f"test_app_{number}.py").write_text(text)
    done = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."], cwd=tmp_path)
    assert len(texts) == 2 and "2 passed" in done


def test_node_test_of_an_app(tmp_path):
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules/libpresence").symlink_to(ROOT / "node")
    [text] = examples("testing-your-app.md", "node")
    (tmp_path / "app.test.js").write_text(text)
    assert "# pass 1" in run(["node", "--test", "--test-reporter=tap", "app.test.js"], cwd=tmp_path)


def test_c_test_of_an_app(tmp_path):
    [text] = examples("testing-your-app.md", "c")
    (tmp_path / "app.c").write_text(text)
    library = ROOT / "build/core"
    run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "app.c", "-o", "app", f"-I{ROOT}/core/include", f"-L{library}", "-lpresence",
         f"-Wl,-rpath,{library}"], cwd=tmp_path)
    run([str(tmp_path / "app")])


def test_readme_names_the_two_commands():
    assert "bash ci/demo" in README and "bash ci/test" in README


def test_places_of_the_rules_exist():
    rows = re.findall(r"^\| [^|]+ \| `([^`]+)` \| `(\w+)` \|$", (ROOT / "docs/design.md").read_text(), re.M)
    assert len(rows) >= 10
    for file, function in rows:
        text = (ROOT / file).read_text()
        assert re.search(rf"^[\w *]*\b{function}\([^;]*?\{{", text, re.M | re.S), f"{function} is not defined in {file}"


def test_every_folder_of_the_map_exists():
    text = (ROOT / "docs/design.md").read_text()
    folders = re.findall(r"^\| `([\w./`, ]+)` \|", text, re.M)
    names = [name.strip("` ") for row in folders for name in row.split(",")]
    assert len(names) > 10
    for name in names:
        assert "_" in name or (ROOT / name).exists(), f"{name} is in the map and not in the tree"


def test_every_cited_rule_exists():
    headings = set(re.findall(r"^#+ (\d+(?:\.\d+)*)", (ROOT / "docs/protocol.md").read_text(), re.M))
    missing = {}
    for path in [*ROOT.glob("core/**/*.[ch]"), *ROOT.glob("tests/**/*.[ch]")]:
        for number in re.findall(r"protocol\.md (\d+(?:\.\d+)*)", path.read_text()):
            section = number if number in headings else number.rsplit(".", 1)[0]
            if section not in headings:
                missing.setdefault(number, []).append(path.name)
    assert not missing


@pytest.mark.parametrize("document", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_named_tests_exist(document):
    for place, name in re.findall(r"`(tests/[\w/.]+\.py)::(\w+)`", (ROOT / "docs" / document).read_text()):
        assert f"def {name}(" in (ROOT / place).read_text(), f"{place}::{name}"


def test_bad_input_names_tests_that_exist():
    """Of every language: a function, or the beginning of a title."""
    named = re.findall(r"`([\w./-]+\.(?:c|py|js))::([^`]+)`", (ROOT / "docs/bad-input.md").read_text())
    assert len(named) > 80
    for place, name in named:
        text = (ROOT / place).read_text()
        written = {".c": rf"cmocka_unit_test\w*\({name}\b", ".py": rf"def {name}\("}.get(pathlib.Path(place).suffix, re.escape(name))
        assert re.search(written, text), f"{place}::{name}"


def test_the_table_of_mutants_is_what_the_tree_holds():
    printed = run([sys.executable, str(ROOT / "ci/mutants.py"), "--table"])
    assert printed in (ROOT / "docs/mutants.md").read_text(), "docs/mutants.md: put in what ci/mutants --table prints"
    assert "| nothing |" not in printed
