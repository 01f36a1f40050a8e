"""Build steps of the site: generated pages, and equations as MathML.

MkDocs calls ``on_files`` and ``on_page_content``. Pages that the repository already has elsewhere
(the changelog, the model card) are copied into the site; the command reference is generated from
the program.
"""

import html
import inspect
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

from vqclip.cli.app import app

ROOT = Path(__file__).parents[1]
COPIES = {  # page of the site: file of the repository
    "benchmarks.md": "benchmarks/RESULTS.md",
    "model-card.md": "weights/README.md",
    "recipes.md": "recipes/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
MATH = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:]+)(#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages to the site."""
    pages = {page: copied(page, source) for page, source in COPIES.items()}
    pages["reference/commands.md"] = commands()
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_content(content: str, **_: Any) -> str:
    """Turn TeX into MathML, which browsers show without a script."""
    return MATH.sub(lambda m: mathml(m[3], "block" if m[2] == "[" else "inline"), content)


def mathml(tex: str, display: str) -> str:
    """Return the MathML of ``tex``.

    display: ``inline`` or ``block``.
    """
    return convert(html.unescape(tex).strip(), display=display)


def copied(page: str, source: str) -> str:
    """Return the text of a repository file, with links that work at ``page`` of the site."""
    moved = {file: target for target, file in COPIES.items()}

    def link(match: re.Match[str]) -> str:
        image, text, target, anchor = match.groups()
        path = posixpath.normpath(f"{posixpath.dirname(source)}/{target}".lstrip("/"))
        if path in moved:
            return f"[{text}]({moved[path]}{anchor or ''})"
        if path.startswith("docs/"):
            return f"{image}[{text}]({path.removeprefix('docs/')}{anchor or ''})"
        return text  # the site has no page for it

    return LINK.sub(link, (ROOT / source).read_text(encoding="utf-8"))


def commands() -> str:
    """Return the command reference as Markdown, generated from the commands themselves."""
    group = typer.main.get_command(app)
    lines = [
        "# Commands",
        "",
        "`vqclip COMMAND --help` shows the same in the terminal: this page is generated from it. "
        '`vqclip "a prompt"` is short for `vqclip generate "a prompt"`.',
        "",
    ]
    for name, command in leaves(group):
        lines += [*section(name, command), ""]
    return "\n".join(lines)


def leaves(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name, including those of subgroups."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def section(name: str, command: Any) -> list[str]:
    """Return the Markdown lines of a command: description, usage, options by panel."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    words = " ".join(usage(p) for p in arguments)
    about = inspect.cleandoc(command.help or "").splitlines()
    lines = [f"## vqclip {name}", "", *map(prose, about), ""]
    lines += ["```", f"vqclip {name} {words} [OPTIONS]".replace("  ", " "), "```", ""]
    panels: dict[str, list[Any]] = {}
    for param in command.params:
        if param.name != "help" and not param.hidden:
            fallback = "Arguments" if param in arguments else "Options"
            panels.setdefault(param.rich_help_panel or fallback, []).append(param)
    for panel, params in panels.items():
        lines += [f"| {panel} | | |", "|---|---|---|", *map(row, params), ""]
    return lines


def prose(line: str) -> str:
    """Return a line of a help text as Markdown: an example becomes code."""
    example = line.strip()
    if re.match(r"(vqclip|printf|accelerate) \S", example):
        return f"`` {example} ``"
    return re.sub(r"\[/?bold\]", "`", line)


def usage(argument: Any) -> str:
    """Return an argument in the form of the usage line, such as ``[PROMPT]...``."""
    name = (argument.metavar or argument.name).upper()
    return (name if argument.required else f"[{name}]") + ("..." if argument.nargs == -1 else "")


def row(param: Any) -> str:
    """Return the table row of an option or argument."""
    names = param.opts if param.opts[0].startswith("-") else [usage(param)]
    shown = ", ".join(f"`{name}`" for name in names)
    text = (param.help or "").replace("|", r"\|")
    if param.default not in (None, False, "", (), []) and param.show_default:
        text += f" [default: `{default(param.default)}`]"
    return f"| {shown} | {kind(param)} | {text} |"


def kind(param: Any) -> str:
    """Return the kind of value of a parameter: its metavar, or the name of its type."""
    annotation = param.type_descriptor.annotation
    if annotation is bool:
        return ""
    taken = param.metavar or {"str": "TEXT", "int": "N", "float": "X"}.get(
        getattr(annotation, "__name__", ""), ""
    )
    return f"`{taken}`".replace("|", r"\|") if taken and param.opts[0].startswith("-") else ""


def default(value: Any) -> str:
    """Return a default value as typed on the command line."""
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
