"""The built-in models start without slow imports of unused packages."""

import os
import subprocess
import sys

import pytest

LIGHT = """
import sys
import torch
from vqclip.models.light_torch import without_compiler
from vqclip.models.perceptor import open_perceptor

def absent(*names):
    for name in names:
        assert name not in sys.modules, name

perceptor = open_perceptor()
text = perceptor.embed_text(["a red apple"])
image = torch.nn.Parameter(torch.rand(1, 3, 96, 96))
with without_compiler():
    optimizer = torch.optim.Adam([image], lr=0.1)

def step():
    loss = -(perceptor.embed_image(image) @ text.T).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

with without_compiler():
    first = step()
absent("torch._dynamo", "sympy")
"""

COMPILER_AFTERWARDS = """
assert step() < first  # the optimizer imports the real thing now
assert type(sys.modules["torch._dynamo"]).__name__ == "module"
assert hasattr(torch._dynamo, "explain")
double = torch.compile(lambda x: 2 * x, backend="eager", fullgraph=True)
assert double(torch.ones(1)).item() == 2
assert step() < first

import torchvision
boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
assert torchvision.ops.roi_align(torch.ones(1, 1, 4, 4), [boxes], 2).shape == (1, 1, 2, 2)
assert torchvision.ops.roi_align.__globals__["is_compile_supported"]("cpu") is True

with without_compiler():  # nothing to be spared any more
    assert step() < first
    assert hasattr(torch._dynamo, "explain")
"""

STAND_IN = """
import sys
import torch
from vqclip.models.light_torch import without_compiler

with without_compiler():
    with without_compiler():  # nested
        torch._dynamo.graph_break()
    assert type(sys.modules["torch._dynamo"]).__name__ == "_StandIn"
assert "torch._dynamo" not in sys.modules

try:
    with without_compiler():
        raise KeyError
except KeyError:
    assert "torch._dynamo" not in sys.modules

with without_compiler():  # whoever asks for more than the stand-in knows gets the real module
    assert torch._dynamo.config.recompile_limit > 0
    assert hasattr(torch._dynamo, "explain")
assert hasattr(sys.modules["torch._dynamo"], "explain")
"""


WHOLE_RUN = """
import sys, vqclip
from vqclip.cli.app import app

def absent(*names):
    for name in names:
        assert name not in sys.modules, name

prompts = vqclip.parse_prompts("a red apple")
config = vqclip.GenerateConfig(prompts, size=(16, 16), steps=2, num_cutouts=1, drafts=1)
for frame in vqclip.generate(config):
    pass
absent("torch._dynamo", "sympy", "imageio")
quick = ["--steps", "1", "--size", "16", "--cutouts", "1", "--drafts", "1"]
for words in (["a red apple", *quick, "--checkpoint", "-o", "a.png"],
              ["resume", "a.checkpoint.safetensors", "--steps", "2"]):
    try:
        app(words)
    except SystemExit as end:
        assert not end.code
absent("torch._dynamo", "sympy", "av", "cv2")
"""


def run(*parts: str) -> subprocess.CompletedProcess[str]:
    """Run the parts in order in a new interpreter, whose exit status must be 0."""
    command = [sys.executable, "-W", "error", "-c", "\n".join(parts)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result


@pytest.mark.slow
def test_only_what_is_used_is_imported_and_the_compiler_works_afterwards() -> None:
    assert run(LIGHT, COMPILER_AFTERWARDS).stderr == ""


@pytest.mark.slow
def test_a_whole_run_imports_none_of_them_and_the_stand_in_leaves_nothing_behind() -> None:
    """The stand-in comes last, because it ends with the import of the compiler."""
    assert "Traceback" not in run(WHOLE_RUN, STAND_IN).stderr


@pytest.mark.parametrize("given", [None, "7"])
def test_threads_are_set_up_by_the_import(given: str | None) -> None:
    code = "import vqclip, os, sys; print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {"GOMP_SPINCOUNT": given} if given else {}
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert told.split() == [given or "2000", "False"]
