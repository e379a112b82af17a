"""The shape that everything later stands on: arrows point down, the light half stays light."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dlops

ROOT = Path(dlops.__file__).parent
FILES = {
    ".".join(["dlops", *file.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__"): file
    for file in sorted(ROOT.rglob("*.py"))
}
LAYERS = ("cli", "project", "targets", "worker")
GROUND = {"config", "errors", "steps", ""}
"""What every layer may import; "" is the package itself, with its version."""
HEAVY = ("torch", "mlflow", "transformers", "pandas", "numpy", "ray")
PIPELINE = "project.pipeline."
"""Part of the project that tells data by its content, and draws."""
TRAVELS = "attributions"
"""Package that travels inside models under another name, so that its modules find each other relatively."""
UNTOLD = {"utils", "common", "core", "helpers", "manager"}


def package(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(file: Path) -> set[str]:
    """The modules a file imports, anywhere in it; a name taken from a package counts as the module it may be."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level == 1 and file.parent.name == TRAVELS:
                found |= {f"dlops.ml.{TRAVELS}.{name}" for name in (node.module, *(a.name for a in node.names)) if name}
                continue
            assert node.level == 0, f"{file} imports relatively"
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(FILES)
            outer = {alias.name for alias in node.names if f"{node.module}.{alias.name}" not in FILES}
            found |= inner | ({str(node.module)} if outer else set())
    return found


OURS = {module: {name for name in imports(file) if name in FILES} for module, file in FILES.items()}


@pytest.mark.parametrize("module", FILES)
def test_arrows_point_down(module):
    own = package(module)
    reached = {package(name) for name in OURS[module]} - {own}
    if own in LAYERS:
        beside = {"cli": ["data", "registry"], "project": ["data"] if PIPELINE in module else []}
        assert reached <= {*LAYERS[LAYERS.index(own) + 1 :], *GROUND, *beside.get(own, [])}
    elif own in ("config", "data", "registry"):
        assert reached <= {"errors", "", *({"data": ["config", "worker"], "registry": ["worker"]}.get(own, []))}
    elif own == "ml":
        assert not reached & {"cli", "project", "targets"}
    else:
        assert not reached


@pytest.mark.parametrize("module", [name for name in FILES if package(name) == "worker"])
def test_the_worker_travels_with_python_and_a_tracking_client_only(module):
    foreign = {name.split(".")[0] for name in imports(FILES[module])} - set(sys.stdlib_module_names)
    assert foreign <= {"mlflow", "dlops"}
    assert {package(name) for name in OURS[module]} <= {"worker"}


def test_no_module_imports_itself_round_a_corner():
    done: set[str] = set()

    def follow(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " → ".join([*way[way.index(module) :], module])
        if module not in done:
            for name in OURS[module]:
                follow(name, (*way, module))
            done.add(module)

    for module in FILES:
        follow(module, ())


@pytest.mark.parametrize("module", FILES)
def test_every_module_opens_with_one_sentence(module):
    text = ast.get_docstring(ast.parse(FILES[module].read_text(encoding="utf-8")))
    assert text, "no docstring"
    opening = text.split("\n\n")[0].split("\n")
    assert len(opening) == 1, "the sentence takes more than a line"
    assert opening[0].endswith((".", ":", "?")), "no sentence"


@pytest.mark.parametrize("module", FILES)
def test_a_name_says_what_is_in_the_file(module):
    assert not UNTOLD.intersection(module.split("."))


@pytest.mark.parametrize("module", [name for name in FILES if package(name) in ("config", "data", "registry", *LAYERS)])
def test_a_test_mirrors_the_source(module):
    name = module.removeprefix("dlops.").split(".")
    if FILES[module].name == "__init__.py":
        return
    assert (Path(__file__).parent / "/".join(name[:-1]) / f"test_{name[-1].strip('_')}.py").is_file()


def loaded_by(folder: Path, *words: str) -> set[str]:
    """Run the command in a fresh interpreter and say which modules it has loaded when it ends."""
    program = (
        "import atexit, sys; atexit.register(lambda: print('LOADED', *sys.modules, file=sys.stderr));"
        f"sys.argv = {['dlops', *words]!r}; import dlops.cli.main as command; command.main() if sys.argv[1:] else 0"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stderr.rpartition("LOADED ")[2].split()}


@pytest.mark.parametrize(
    "words", [(), ("--help",), ("finetune", "--help"), ("finetune", "--dry-run"), ("config", "finetune"), ("version",)]
)
def test_the_light_half_stays_light(words, tmp_path):
    (tmp_path / "MLproject").write_text('entry_points: {finetune: {command: "true"}}\n')
    loaded = loaded_by(tmp_path, *words)
    assert "typer" in loaded
    assert not loaded.intersection(HEAVY)


def test_help_needs_no_yaml(tmp_path):
    assert "yaml" not in loaded_by(tmp_path, "--help")
