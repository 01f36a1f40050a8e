"""The rules that keep the code readable, checked on the syntax trees."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "vqclip"
LAYERS = [
    {
        "embedded",
        "errors",
        "registry",
        "prompts",
        "config",
        "presets",
        "specification",
        "keyframes",
        "labels",
        "timing",
        "yamlfiles",
        "webpages",
        "spelling",
        "home",
        "hashing",
        "sizes",
    },
    {"images", "models", "states", "locking", "catalogue", "portable"},
    {"store", "downloads"},
    {
        "checkpoints",
        "zoo",
        "latents",
        "cutouts",
        "losses",
        "optimizers",
        "engines",
        "writers",
        "targets",
        "masks",
        "drafts",
        "flow",
        "motion",
        "conditioning",
        "resuming",
        "inventory",
    },
    {"exporting", "supply"},
    {"loading", "missing"},
    {"drafting", "stepping"},
    {"generation", "reconstruction", "outputs", "animation", "training", "doctor", "unfinished"},
    {"completion", "evaluation", "keeping", "replay", "restyle", "story", "together"},
    {"rendering", "forecast"},
    {"batch"},
    {"filming"},
    {"cli"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Sideways, and meant: the zoo hands checkpoints out.
SIDEWAYS = {("zoo", "checkpoints")}
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__main__.py")
PRIVILEGES = {
    "typer": {"cli"},
    "rich": {"cli"},
    "open_clip": {"models/openclip"},
    "httpx2": {"downloads"},
    "imageio": {"writers"},
    "av": {"writers"},
    "skimage": {"conditioning"},
    "cv2": {"flow"},
    "ray": {"batch/cluster", "batch/worker"},
}


def unit(path: Path) -> str:
    """Return the module or package right below vqclip that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[str]:
    """Yield every absolute name that a file imports, relative ones resolved."""
    package = ["vqclip", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield name
            if name == "vqclip":
                yield from (f"vqclip.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    here = unit(path)
    if here == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "vqclip" or len(parts) == 1 or parts[1] == "__version__":
            continue
        there = parts[1]
        if there == here or (there not in RANK and not (PACKAGE / f"{there}.py").exists()):
            continue
        assert there in RANK, f"{there} has no layer"
        allowed = RANK[there] < RANK[here] or RANK[here] == 0 or (here, there) in SIDEWAYS
        assert allowed, f"{here} imports {there}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_each_library_has_its_place(path: Path) -> None:
    name = str(path.relative_to(PACKAGE).with_suffix(""))
    for imported in imports(path):
        homes = PRIVILEGES.get(imported.split(".")[0])
        assert homes is None or unit(path) in homes or name in homes, f"{name}: {imported}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_stay_small(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert len(path.read_text().splitlines()) <= 300
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            body = (node.end_lineno or 0) - node.body[0].lineno + 1
            assert body <= 50, node.name


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["generate", "--help"],
        ["complete", "--help"],
        ["sample", "--help"],
        ["reconstruct", "--help"],
        ["animate", "--help"],
        ["again", "--help"],
        ["batch", "--help"],
        ["resume", "--help"],
        ["show", "--help"],
        ["weights", "--help"],
        ["weights", "get", "--help"],
        ["doctor", "--help"],
        ["evaluate"],
        ["evaluate", "clip", "--help"],
        ["sample", "--samples", "0"],
        ["--version"],
        ["x:1,5"],
    ],
)
def test_help_and_usage_errors_never_import_torch(command: list[str]) -> None:
    code = (
        "import sys, vqclip\n"
        "from vqclip.cli.main import app\n"
        f"try: app({command!r})\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=300)


def test_public_names_are_all_there() -> None:
    import vqclip

    assert set(vqclip.__all__) <= set(dir(vqclip))
    for name in vqclip.__all__:
        assert getattr(vqclip, name).__doc__
    with pytest.raises(AttributeError):
        vqclip.nothing  # noqa: B018
