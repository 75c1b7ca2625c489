# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything of the Blender add-on that can be translated: ``python tools/list_strings.py`` prints one a line.

Blender looks labels, tooltips and plain texts of its layouts up by themselves, and `addon/words.py` what is put
together in Python. A text that is put together any other way (an f-string handed to a layout) cannot be looked up:
``--unready`` lists those, with file and line.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ADDON = Path(__file__).resolve().parents[1] / "addon"

_SHOWN = {"text", "name", "description", "message"}  # keyword arguments whose values Blender shows
_TOLD = {"poll_message_set": 0, "report": 1, "say": 0, "tip": 0, "draw_text": 1, "_group": 1}  # calls -> which argument
_CLASS_FIELDS = {"bl_label", "bl_description"}
_KINDS = ("Operator", "Panel", "UIList", "Menu", "FileHandler")


def strings(folder: Path = ADDON) -> dict[str, list[str]]:
    """Every text to its places (``file:line``), in the order of the files."""
    found: dict[str, list[str]] = {}
    for text, place in _texts(folder):
        if isinstance(text, str) and any(letter.isalpha() for letter in text):
            found.setdefault(text, []).append(place)
    return found


def unready(folder: Path = ADDON) -> list[str]:
    """Places of texts that are shown and cannot be looked up."""
    return [place for text, place in _texts(folder) if text is None]


def _texts(folder: Path) -> Iterator[tuple[str | None, str]]:
    for file in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for text, line in _of(node):
                yield text, f"{file.name}:{line}"


def _of(node: ast.AST) -> Iterator[tuple[str | None, int]]:
    if isinstance(node, ast.ClassDef):
        yield from _of_class(node)
    if not isinstance(node, ast.Call):
        return
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if called in _TOLD and len(node.args) > _TOLD[called]:
        yield from _value(node.args[_TOLD[called]])
    is_property = called.endswith("Property")
    is_layout = called in ("label", "operator", "prop", "progress", "menu", "column", "row", "popover")
    for keyword in node.keywords:
        if keyword.arg in _SHOWN and (is_property or is_layout):
            yield from _value(keyword.value)
        if keyword.arg == "items" and is_property:
            for item in ast.walk(keyword.value):
                if isinstance(item, ast.Tuple) and len(item.elts) >= 3:
                    yield from (told for part in item.elts[1:3] for told in _value(part) if told[0] is not None)


def _of_class(node: ast.ClassDef) -> Iterator[tuple[str | None, int]]:
    bases = {base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases}
    told = ast.get_docstring(node)
    if told and bases & set(_KINDS):
        yield " ".join(told.split()), node.lineno
    for line in node.body:
        if isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") in _CLASS_FIELDS:
            yield from _value(line.value)


def _value(node: ast.expr) -> Iterator[tuple[str | None, int]]:
    """Literal texts; None for one with gaps, which nobody can look up. What a name stands for is not followed."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value, node.lineno
    elif isinstance(node, ast.JoinedStr):
        yield None, node.lineno
    elif isinstance(node, ast.IfExp):
        yield from _value(node.body)
        yield from _value(node.orelse)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unready", action="store_true", help="list texts that cannot be looked up instead")
    if parser.parse_args().unready:
        print("\n".join(unready()))
        return 0
    for text, places in strings().items():
        print(f"{text!r}\t{', '.join(places)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
