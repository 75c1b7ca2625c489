# SPDX-License-Identifier: GPL-3.0-or-later
"""People and their keypoints by networks in ONNX files, as their model cards describe them.

Pictures go through in batches: people are found in several frames at once, then all that were found are cut out and
read at once. Between batches the steps overlap: one is cut out while another is read.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import weights
from ..errors import InputError
from ..onnx_session import Network
from ..settings import DetectSettings
from ..skeleton import common_names
from ..video import Frame
from . import Detection, decode
from .card import DECODINGS, Card, read_card
from .crop import Cut, box_region, cut_out, letterbox, tensor
from .relay import relay

Array = NDArray[Any]

_FRAMES_AT_ONCE = {"cpu": 2}  # more would only wait longer for their first answer, and hold more pictures
_FRAMES_AT_ONCE_ON_DEVICE = 8
_PEOPLE_AT_ONCE = 16


@dataclass(eq=False)
class _Batch:
    """Frames on their way through the steps."""

    frames: list[Frame]
    looks: list[int]  # which of them are searched for people; the last one always is
    pictures: list[Image.Image] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    tensor: Array | None = None
    boxes: list[Array] = field(default_factory=list)
    people: list[list[Detection]] = field(default_factory=list)


class _Reader:
    """A network with its card."""

    def __init__(self, card: Card, file: Path, device: str) -> None:
        self.card = card
        self.network = Network.open(file, device)
        needed, have = DECODINGS[card.output.decoding][1], self.network.outputs
        names = card.output.names or have
        lacking = [name for name in names if name not in have]
        if lacking or len(names) < needed:
            raise InputError(
                f"{file.name} answers {', '.join(have)}, but its card reads "
                f"{', '.join(lacking) or f'{needed} outputs'}.",
                "Correct output.decoding or output.names in the card.",
                "card-mismatch",
            )
        seen = self.network.input_shape[-2:]
        if len(self.network.input_shape) != 4 or any(
            size not in (None, wanted) for size, wanted in zip(seen, card.size[::-1], strict=True)
        ):
            raise InputError(
                f"{file.name} sees pictures of the shape {list(self.network.input_shape)}, but its card says "
                f"{card.size[0]} × {card.size[1]}.",
                "Correct input.size (width, height) in the card.",
                "card-mismatch",
            )
        self.names = names[: max(needed, 2)] if card.output.decoding == "boxes" else names[:needed]

    def answer(self, batch: Array) -> list[Array]:
        """Its outputs for a tensor (N, 3, h, w), in the card's order."""
        answers = self.network(batch, self.names, _PEOPLE_AT_ONCE)
        return [answers[name] for name in self.names]

    def check(self, array: Array, dimensions: int, keypoints_axis: int | None = None) -> Array:
        """The array, when it has the shape that the card promises.

        Raises:
            InputError: it has not.
        """
        count = len(self.card.keypoints)
        if array.ndim != dimensions or (keypoints_axis is not None and array.shape[keypoints_axis] != count):
            wanted = f" with {count} keypoints" if keypoints_axis is not None else ""
            raise InputError(
                f"{self.card.label} answers an array of shape {array.shape}, which is no "
                f"{self.card.output.decoding}{wanted}.",
                "Correct output.decoding and keypoints in the card.",
                "card-mismatch",
            )
        return array


class OnnxPose:
    """The detector of a model card.

    Args:
        card: of the network that gives keypoints.
        settings: `min_score` and `max_people` of frames, the device, and with `model_path` another file for the card.
        report: told what is fetched.

    Raises:
        InputError: a file is missing, is no ONNX file, or is not what its card says.
        SetupError: a file cannot be fetched, or the device cannot be had.
    """

    def __init__(self, card: Card, settings: DetectSettings, report: weights.Report | None = None) -> None:
        self.card = card
        self.names = common_names(card.keypoints)
        self._settings = settings
        if card.finds == "people":
            raise InputError(
                f"{card.label} finds people but no keypoints.",
                "Give the card of a network that finds keypoints; it may name this one under people.",
                "card-no-keypoints",
            )
        files = [one.fetched(report) for one in card.networks()[:-1]]
        files.append(settings.model_path if settings.model_path else card.fetched(report))
        readers = [_Reader(one, file, settings.device) for one, file in zip(card.networks(), files, strict=True)]
        self._whole, self._part = readers[0], readers[-1]
        self.device = self._part.network.device
        self._before: tuple[float, Array] | None = None  # when people were looked for last, and their boxes
        self._frames_at_once = _FRAMES_AT_ONCE.get(self.device, _FRAMES_AT_ONCE_ON_DEVICE)

    def __call__(self, frame: Frame) -> list[Detection]:
        """People in this frame."""
        self._before = None
        batch: Any = ([frame], [0])
        for step in self._steps():
            batch = step(batch)
        people: list[Detection] = batch.people[0]
        return people

    def stream(self, frames: Iterable[Frame]) -> Generator[tuple[Frame, list[Detection]], None, None]:
        """Every frame with the people in it, in order; decoding, cutting out and both networks overlap."""
        steps = self._steps()
        if self.device == "cpu":  # the networks share its cores: one after the other is faster
            steps = [steps[0], _one_after_another(steps[1:])]
        self._before = None
        every = 1 if self.card.finds == "both" else self._settings.look_every
        size = max(self._frames_at_once // every, 1) * every
        batches = relay(_grouped(frames, size, every), steps)
        try:
            for batch in batches:
                yield from zip(batch.frames, batch.people, strict=True)
        finally:
            batches.close()

    def close(self) -> None:
        """Nothing is held but memory."""

    def __enter__(self) -> OnnxPose:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _steps(self) -> list[Callable[[Any], Any]]:
        if self.card.finds == "both":
            return [self._look, self._read_whole]
        return [self._look, self._find, self._cut, self._read_parts]

    def _look(self, group: tuple[list[Frame], list[int]]) -> _Batch:
        card, (frames, looks) = self._whole.card, group
        pictures = [Image.fromarray(frame.rgb) for frame in frames]
        cuts = [letterbox(pictures[i].size, card.size, card.centred) for i in looks]
        seen = [cut_out(pictures[i], cut, card.fill) for i, cut in zip(looks, cuts, strict=True)]
        return _Batch(frames, looks, pictures, cuts, tensor(seen, card.normalisation))

    def _find(self, batch: _Batch) -> _Batch:
        assert batch.tensor is not None
        answers = self._whole.answer(batch.tensor)
        boxes, scores = _boxes(self._whole, answers)
        times = [frame.time_s for frame in batch.frames]
        done = 0
        for look, cut, found, score in zip(batch.looks, batch.cuts, boxes, scores, strict=True):
            kept = self._people(found, score, self._whole.card.output.overlap)
            people = cut.to_picture(found[kept].reshape(-1, 2, 2)).reshape(-1, 4)
            now = (times[look], people)
            batch.boxes += boxes_between(self._before or now, now, times[done:look])
            batch.boxes.append(people)
            self._before, done = now, look + 1
        batch.tensor = None
        return batch

    def _people(self, boxes: Array, scores: Array, overlap: float) -> NDArray[np.intp]:
        """Which boxes are people: the larger and the surer, as many as are wanted."""
        kept = decode.keep_boxes(boxes, scores, self._settings.min_score, overlap)
        extent = (boxes[kept, 2:] - boxes[kept, :2]).prod(axis=-1)
        return kept[np.argsort(-extent * scores[kept], kind="stable")[: self._settings.max_people]]

    def _cut(self, batch: _Batch) -> _Batch:
        card = self._part.card
        batch.cuts, seen = [], []
        for picture, boxes in zip(batch.pictures, batch.boxes, strict=True):
            for box in boxes:
                cut = box_region(box, card.size, card.padding)
                batch.cuts.append(cut)
                seen.append(cut_out(picture, cut, card.fill))
        batch.pictures = []
        batch.tensor = tensor(seen, card.normalisation) if seen else None
        return batch

    def _read_parts(self, batch: _Batch) -> _Batch:
        places, scores = self._keypoints(batch.tensor) if batch.tensor is not None else (None, None)
        row = 0
        for boxes in batch.boxes:
            people = []
            for _ in boxes:
                assert places is not None
                assert scores is not None
                people.append(self._detection(batch.cuts[row], places[row], scores[row]))
                row += 1
            batch.people.append(people)
        batch.tensor = None
        return batch

    def _keypoints(self, seen: Array) -> tuple[Array, Array]:
        reader, output = self._part, self._part.card.output
        answers = reader.answer(seen)
        if output.decoding == "simcc":
            x, y = (reader.check(bins, 3, 1) for bins in answers)
            return decode.simcc(x, y, output.split)
        return decode.heatmaps(reader.check(answers[0], 4, 1), reader.card.size, output.refine, output.align)

    def _read_whole(self, batch: _Batch) -> _Batch:
        assert batch.tensor is not None
        reader = self._whole
        listed, keypoints = reader.answer(batch.tensor)
        boxes, scores = decode.listed_boxes(reader.check(listed, 3))
        reader.check(keypoints, 4, 2)
        for cut, found, score, points in zip(batch.cuts, boxes, scores, keypoints, strict=True):
            kept = self._people(found, score, reader.card.output.overlap)
            # These networks count from the middle of the first pixel.
            batch.people.append([self._detection(cut, points[i, :, :2] + 0.5, points[i, :, 2]) for i in kept])
        batch.tensor, batch.pictures = None, []
        return batch

    def _detection(self, cut: Cut, places: Array, scores: Array) -> Detection:
        return Detection(
            names=self.names,
            positions=cut.to_picture(places).astype(np.float32),
            scores=np.clip(scores / self.card.output.score_scale, 0.0, 1.0).astype(np.float32),
        )


def _boxes(reader: _Reader, answers: Sequence[Array]) -> tuple[Array, Array]:
    first, output = reader.check(answers[0], 3), reader.card.output
    if output.decoding == "yolox":
        return decode.yolox_boxes(first, reader.card.size, output.strides)
    return decode.listed_boxes(first, answers[1] if len(answers) > 1 else None, output.person)


_SAME_PERSON = 0.1  # share of their union from which two boxes of different frames are one person's


def boxes_between(before: tuple[float, Array], after: tuple[float, Array], times: Sequence[float]) -> list[Array]:
    """People's boxes at times between two looks for them.

    Who was there both times moves evenly from place to place; who was there only once is taken to be where he was seen,
    up to half way.

    Args:
        before, after: when people were looked for, and their boxes (N, 4) and (M, 4).
        times: between those.
    """
    (start, old), (end, new) = before, after
    if not times:
        return []
    alike = np.array([decode.shared(box, new) for box in old]).reshape(len(old), len(new))
    pairs: list[tuple[int, int]] = []
    while alike.size and alike.max() > _SAME_PERSON:
        i, j = (int(k) for k in np.unravel_index(alike.argmax(), alike.shape))
        pairs.append((i, j))
        alike[i], alike[:, j] = 0.0, 0.0
    alone_old = np.delete(old, [i for i, _ in pairs], axis=0)
    alone_new = np.delete(new, [j for _, j in pairs], axis=0)
    between = []
    for time_s in times:
        share = (time_s - start) / (end - start) if end > start else 1.0
        moved = [(1 - share) * old[i] + share * new[j] for i, j in pairs]
        between.append(np.concatenate([np.reshape(moved, (-1, 4)), alone_old if share < 0.5 else alone_new]))
    return between


def _grouped(frames: Iterable[Frame], size: int, every: int) -> Generator[tuple[list[Frame], list[int]], None, None]:
    """Frames in groups that end with a look for people, and which frames of a group are looked at."""
    source = iter(frames)
    group: list[Frame] = []
    first = 0  # where the group's first look is: in the very first frame, then always at the end of `every` frames
    try:
        for frame in source:
            group.append(frame)
            if len(group) == size or (not first and every > 1):
                yield group, list(range(first, len(group), every))
                group, first = [], every - 1
        if group:
            looks = list(range(first, len(group), every))
            yield group, looks if looks and looks[-1] == len(group) - 1 else [*looks, len(group) - 1]
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()


def _one_after_another(steps: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def all_of_them(item: Any) -> Any:
        for step in steps:
            item = step(item)
        return item

    return all_of_them


def card_of(settings: DetectSettings, shipped: str) -> Card:
    """The card of a detector of the catalogue, or the user's own.

    Raises:
        InputError: it is missing or says what cannot be.
    """
    return read_card(settings.card if settings.card is not None else shipped)
