# SPDX-License-Identifier: GPL-3.0-or-later
"""Model cards: what an ONNX network sees, what its answer means and where its file is, as data.

A card is a TOML file; those in `model_cards` ship, a user writes his own. `docs/detectors.md` shows each field.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import weights
from ..errors import InputError
from ..skeleton import KEYPOINT_LAYOUTS
from .crop import Normalisation
from .decode import REFINEMENTS

CARDS = Path(__file__).parent / "model_cards"

DECODINGS = {
    "boxes": ("people", 1),
    "yolox": ("people", 1),
    "simcc": ("keypoints", 2),
    "heatmap": ("keypoints", 1),
    "people-keypoints": ("both", 2),
}
"""How an answer is read -> what the network finds, and how many of its outputs are needed.

``people``: boxes in a whole picture; ``keypoints``: those of one person that was cut out; ``both`` at once.
"""

ALIGNMENTS = ("udp", "stride")


@dataclass(frozen=True)
class Output:
    """What a network answers.

    Attributes:
        decoding: one of `DECODINGS`.
        names: of the outputs; empty: the file's own, in their order.
        split: bins a pixel (simcc).
        refine: one of `decode.REFINEMENTS` (heatmap).
        align: one of `ALIGNMENTS` (heatmap).
        score_scale: score of a keypoint that is certain; scores are divided by it.
        overlap: people that share more of their boxes' union are one.
        strides: pixels a cell (yolox).
        person: the class of people, where the second output lists classes (boxes).
    """

    decoding: str
    names: tuple[str, ...] = ()
    split: float = 2.0
    refine: str = "dark"
    align: str = "udp"
    score_scale: float = 1.0
    overlap: float = 0.45
    strides: tuple[int, ...] = (8, 16, 32)
    person: int = 0


@dataclass(frozen=True)
class Card:
    """A network described.

    Attributes:
        id: the card's file name without its ending; of shipped ones the name in `weights.catalogue` too.
        label: for people.
        finds: ``people``, ``keypoints`` or ``both``, as its decoding says.
        licence: SPDX identifier, or words.
        notice: what else must be known before it is used, e.g. of the pictures it was trained on.
        keypoints: names in the network's order; empty where it finds people only.
        people: the card of the network that finds people, where this one needs it.
        file: the ONNX file.
        source: where the file can be had; without a URL from the user only.
        size: width, height of what it sees.
        normalisation: of its numbers.
        fill: brightness outside the picture, 0 … 255.
        padding: factor on a person's box.
        centred: whether bars are on both sides of a picture and not to the right or below.
        output: what it answers.
    """

    id: str
    label: str
    finds: str
    licence: str
    notice: str
    keypoints: tuple[str, ...]
    people: Card | None
    file: Path
    source: weights.WeightFile
    size: tuple[int, int]
    normalisation: Normalisation
    fill: int
    padding: float
    centred: bool
    output: Output

    def networks(self) -> tuple[Card, ...]:
        """This one, after the one that finds people where there is one."""
        return (*self.people.networks(), self) if self.people else (self,)

    def fetched(self, report: weights.Report | None = None) -> Path:
        """The file, fetched when it is not here yet.

        Raises:
            InputError: it is not here and can be had nowhere.
            SetupError: it cannot be fetched.
        """
        if self.file.is_file():
            return self.file
        if not self.source.url:
            raise InputError(
                f"The model file {self.file} of {self.label} is not there.",
                "Save it there, or give its place with --model; docs/detectors.md says where such files are found.",
                "model-missing",
            )
        return weights.fetch_to(self.source, self.file, report)


def shipped() -> list[str]:
    """Names of the cards that ship."""
    return sorted(path.stem for path in CARDS.glob("*.toml"))


def read_card(name: str | Path) -> Card:
    """A card that ships, by its name, or one in a TOML file.

    Raises:
        InputError: there is no such card, or it says what cannot be.
    """
    return _read(name)


def _read(name: str | Path, for_card: str = "") -> Card:
    """A card; one that `for_card` names under people must find people, and so has no such line itself."""
    path = Path(name)
    if isinstance(name, str) and path.suffix != ".toml":
        path = CARDS / f"{name}.toml"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"There is no model card {name}.",
            f"Give a .toml file, or one of: {', '.join(shipped())}.",
            "card-missing",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"The model card {path} cannot be read: {error}.", _HINT, "card-broken") from error
    try:
        return _card(path, _Table(values, ""), for_card)
    except _Wrong as error:
        raise InputError(f"The model card {path.name}: {error}.", _HINT, "card-broken") from error


_HINT = "docs/detectors.md shows what a card says."


class _Wrong(ValueError):
    """What a card may not say."""


class _Table:
    """A TOML table that is read key by key; what is left over was misspelt."""

    def __init__(self, values: Mapping[str, Any], name: str) -> None:
        self._values = dict(values)
        self._name = name

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = ...) -> Any:
        if key not in self._values:
            if default is ...:
                raise _Wrong(f"{self._name}{key} is missing")
            return default
        value = self._values.pop(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise _Wrong(f"{self._name}{key} cannot be {value!r}")
        return value

    def one_of(self, key: str, allowed: tuple[str, ...], default: Any = ...) -> str:
        value = self.take(key, str, default)
        if value not in allowed:
            raise _Wrong(f"{self._name}{key} is {value!r}, not one of {', '.join(allowed)}")
        return str(value)

    def numbers(self, key: str, count: int | None, default: Any = ..., above: float | None = None) -> tuple[float, ...]:
        value = self.take(key, (list, tuple), default)
        good = all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in value)
        if not good or not value or (count and len(value) != count):
            raise _Wrong(f"{self._name}{key} must be {count or 'some'} numbers, not {value!r}")
        if above is not None and min(value) <= above:
            raise _Wrong(f"{self._name}{key} must be above {above:g}, not {value!r}")
        return tuple(value)

    def table(self, key: str) -> _Table:
        return _Table(self.take(key, dict, {}), f"{self._name}{key}.")

    def end(self) -> None:
        if self._values:
            raise _Wrong(f"it has {self._name}{', '.join(self._values)}, which means nothing")


def _card(path: Path, values: _Table, for_card: str) -> Card:
    output = _output(values.table("output"))
    finds = DECODINGS[output.decoding][0]
    if for_card and finds != "people":
        raise _Wrong(f"{for_card} names it under people, but it does not find people alone")
    seen = values.table("input")
    channels = seen.one_of("channels", ("rgb", "bgr"))
    mean, std = seen.numbers("mean", 3, (0.0, 0.0, 0.0)), seen.numbers("std", 3, (1.0, 1.0, 1.0), above=0.0)
    size = seen.numbers("size", 2, above=0)
    if any(not isinstance(length, int) for length in size):
        raise _Wrong(f"input.size must be whole numbers, not {size}")
    about = {key: values.take(key, str) for key in ("label", "licence")}
    about |= {key: values.take(key, str, "") for key in ("notice", "made")}
    file, source = _file(path, values.table("file"), about)
    people = None
    if finds == "keypoints":
        named = values.take("people", str)
        people = _read(path.parent / named if named.endswith(".toml") else named, path.name)
    card = Card(
        id=path.stem,
        label=about["label"],
        finds=finds,
        licence=about["licence"],
        notice=about["notice"],
        keypoints=() if finds == "people" else _keypoints(values),
        people=people,
        file=file,
        source=source,
        size=(int(size[0]), int(size[1])),
        normalisation=Normalisation((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]), channels),
        fill=int(seen.take("fill", int, 0 if finds == "keypoints" else 114)),
        padding=float(seen.take("padding", (int, float), 1.25)),
        centred=seen.take("centred", bool, False),
        output=output,
    )
    if not 0 <= card.fill <= 255 or card.padding <= 0:
        raise _Wrong("input.fill must be 0 to 255 and input.padding above 0")
    seen.end()
    values.end()
    return card


def _output(values: _Table) -> Output:
    decoding = values.one_of("decoding", tuple(DECODINGS))
    names = values.take("names", list, [])
    if not all(isinstance(name, str) for name in names):
        raise _Wrong(f"output.names must be names, not {names!r}")
    output = Output(
        decoding=decoding,
        names=tuple(names),
        split=float(values.take("split", (int, float), Output.split)),
        refine=values.one_of("refine", REFINEMENTS, Output.refine),
        align=values.one_of("align", ALIGNMENTS, Output.align),
        score_scale=float(values.take("score_scale", (int, float), Output.score_scale)),
        overlap=float(values.take("overlap", (int, float), Output.overlap)),
        strides=tuple(int(stride) for stride in values.numbers("strides", None, Output.strides, above=0)),
        person=int(values.take("person", int, Output.person)),
    )
    values.end()
    if min(output.split, output.score_scale) <= 0 or not 0 <= output.overlap <= 1:
        raise _Wrong("output.split and output.score_scale must be above 0, output.overlap 0 to 1")
    needed = DECODINGS[decoding][1]
    if output.names and len(output.names) < needed:
        raise _Wrong(f"output.names must be {needed} names for {decoding}")
    return output


def _keypoints(values: _Table) -> tuple[str, ...]:
    named = values.take("keypoints", (str, list))
    if isinstance(named, str):
        if named not in KEYPOINT_LAYOUTS:
            raise _Wrong(f"keypoints is {named!r}, not one of {', '.join(KEYPOINT_LAYOUTS)}, nor a list of names")
        return KEYPOINT_LAYOUTS[named]
    if not named or not all(isinstance(name, str) for name in named) or len(set(named)) != len(named):
        raise _Wrong("keypoints must be names, each only once")
    return tuple(named)


def _file(path: Path, values: _Table, about: Mapping[str, str]) -> tuple[Path, weights.WeightFile]:
    """Where the file lies, and where it can be had. `weights` lists what shipped cards say of it."""
    file = {"name": values.take("name", str)}
    for key, kind in {"url": str, "sha256": str, "size_bytes": int, "member": str}.items():
        value = values.take(key, kind, None)
        if value is not None:
            file[key] = value
    values.end()
    digest = file.get("sha256", "0" * 64)
    if len(digest) != 64 or set(digest.lower()) - set("0123456789abcdef"):
        raise _Wrong(f"file.sha256 must be 64 hexadecimal digits, not {digest!r}")
    if "url" in file and "sha256" not in file:
        raise _Wrong("file.sha256 is missing: what has no checksum is never downloaded")
    folder = weights.folder() if path.parent == CARDS else path.parent
    return folder / file["name"], weights.of_card(path.stem, {**about, "file": file})
