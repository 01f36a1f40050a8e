"""Safe reading of YAML: plain data only, without Python objects."""

from pathlib import Path
from typing import Any

import yaml

from vqclip.errors import CheckpointError, UnsafeCheckpointError, UsageError, one_line
from vqclip.files.atomic import is_special
from vqclip.files.filetypes import is_web_page

_MOST_BYTES = 1 << 17  # a file of this size takes a second or two to parse
_MOST_NODES = 100_000


def read_yaml(path: Path) -> Any:
    """Return the contents of a YAML file: mappings, lists, strings, numbers, booleans, None.

    Raises:
        UsageError: the file cannot be read, or is a pipe or device.
        UnsafeCheckpointError: the file contains Python objects.
        CheckpointError: the file is not valid YAML, or is too large for a config.
    """
    return parse_yaml(_text(path), path)


def _text(path: Path) -> str:
    if is_special(path):  # reading from a pipe could block forever
        raise UsageError(f"{path} is a pipe or device: use a YAML file")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise CheckpointError(
                f"{path} is too large for a config: use the YAML file, not the checkpoint"
            )
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot read the config {path}: {reason}") from None
    except UnicodeDecodeError:
        raise CheckpointError(f"{path} is not a text file; use the model's YAML") from None
    if is_web_page(text):
        raise CheckpointError(
            f"{path} is a web page that was saved instead of the config; download it again"
        )
    return text


def parse_yaml(text: str, path: Path) -> Any:
    """Return the contents of YAML ``text``, with errors as in :func:`read_yaml`."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            raise CheckpointError(f"{path} is empty; use the model's YAML")
        if _size(node, {}) > _MOST_NODES:
            raise CheckpointError(f"{path} expands to too many entries, so it was refused")
        return loader.construct_document(node)
    except yaml.constructor.ConstructorError as error:
        if "2002:python/" in str(error.problem):
            raise UnsafeCheckpointError(
                f"{path} would create Python objects ({error.problem}), so it was refused"
            ) from None
        raise _not_yaml(path, error) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _not_yaml(path, error) from None


def _not_yaml(path: Path, error: Exception) -> CheckpointError:
    reason = one_line(error, 150)
    return CheckpointError(f"{path} is not valid YAML ({reason}); use the model's config")


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the entries in ``node``, with aliases expanded; a cycle counts as over the limit."""
    if id(node) not in known:
        known[id(node)] = _MOST_NODES + 1  # used if a cycle returns here during the count
        children = node.value if isinstance(node, yaml.CollectionNode) else ()
        pairs = isinstance(node, yaml.MappingNode)
        flat = [part for pair in children for part in pair] if pairs else children
        known[id(node)] = 1 + sum(_size(child, known) for child in flat)
    return known[id(node)]
