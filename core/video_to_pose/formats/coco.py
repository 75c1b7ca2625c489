# SPDX-License-Identifier: GPL-3.0-or-later
"""COCO JSON, as annotations and as results, in and out; AlphaPose's default output is such results.

Annotations: ``{"images": …, "annotations": …, "categories": …}`` with visibility 0, 1, 2 behind each x, y. Results: a
list of ``{"image_id", "keypoints", "score"}`` with scores. We write annotations that carry the scores besides, under
``keypoint_scores``, the pictures' times and the frame rate, so that nothing is lost on the way back.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import written_whole
from ..types import KeypointTrack
from .layouts import BY_COUNT
from .openpose import triples
from .people import People, Person, frame_number, gather, person

_VISIBLE = {0: 0.0, 1: 0.5, 2: 1.0}  # not labelled, labelled but hidden, visible
_HIDDEN_BELOW = 0.5


def is_results(content: Any) -> bool:
    """Whether this is a list of results, COCO's or AlphaPose's."""
    return isinstance(content, list) and bool(content) and all(_is_entry(entry) for entry in content)


def is_annotations(content: Any) -> bool:
    """Whether this is a file of annotations."""
    return isinstance(content, dict) and isinstance(content.get("annotations"), list) and "images" in content


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and "image_id" in entry and "keypoints" in entry


def read_results(source: Path, entries: Sequence[dict[str, Any]]) -> People:
    """People of a list of results. Pictures are told apart by ``image_id``: a number, or a name that ends in one.

    Raises:
        InputError: a layout that is not known, or names without numbers.
    """
    kind = "AlphaPose JSON" if any(isinstance(entry["image_id"], str) for entry in entries) else "COCO results"
    found: dict[int, list[Person]] = defaultdict(list)
    for entry in entries:
        picture = entry["image_id"]
        number = frame_number(picture) if isinstance(picture, str) else picture
        if not isinstance(number, int):
            raise InputError(
                f"The picture {picture!r} in {source.name} has no number.",
                "Name the pictures by their frame numbers.",
                "keypoints-no-sequence",
            )
        points = triples(source.name, entry["keypoints"])
        one = person(_names(source, len(points)), points[:, :2], points[:, 2])
        found[number] += [one] if one else []
    return gather(source, kind, found)


def read_annotations(source: Path, content: dict[str, Any]) -> People:
    """People of a file of annotations; pictures in the order of the numbers in their names.

    Raises:
        InputError: entries that lack what they must have, pictures of several sizes, or an unknown layout.
    """
    layouts = {int(category["id"]): category.get("keypoints") for category in content.get("categories", [])}
    entries = [entry for entry in content["annotations"] if entry.get("keypoints")]
    images = {image["id"]: image for image in content["images"]}
    sizes = {(int(image["width"]), int(image["height"])) for image in images.values() if "width" in image}
    if len(sizes) > 1:
        raise InputError(
            f"{source.name} (COCO JSON) has pictures of {len(sizes)} sizes, so they are not of one clip.",
            "Give the pictures of one clip.",
            "keypoints-no-sequence",
        )
    numbers = _picture_numbers(images)
    parts = [triples(source.name, entry["keypoints"]) for entry in entries]
    flags = np.concatenate([points[:, 2] for points in parts]) if parts else np.zeros(0)
    flagged = bool(np.isin(flags, list(_VISIBLE)).all() and (flags == 2).any())
    found: dict[int, list[Person]] = {number: [] for number in numbers.values()}
    for entry, points in zip(entries, parts, strict=True):
        names = layouts.get(int(entry.get("category_id", 1))) or _names(source, len(points))
        scores = np.array([_VISIBLE[int(flag)] for flag in points[:, 2]]) if flagged else points[:, 2]
        if "keypoint_scores" in entry:
            scores = np.array(entry["keypoint_scores"], dtype=np.float64)
        if len({len(names), len(points), len(scores)}) != 1:
            raise InputError(
                f"{source.name} (COCO JSON) has {len(points)} keypoints where its category names {len(names)}.",
                "Write the file again.",
                "keypoints-count",
            )
        one = person(names, points[:, :2], scores)
        found[numbers[entry["image_id"]]] += [one] if one else []
    stamped = bool(images) and all("time_s" in image for image in images.values())
    rate = content.get("info", {}).get("frame_rate")
    return gather(
        source,
        "COCO JSON",
        found,
        times={numbers[key]: float(image["time_s"]) for key, image in images.items()} if stamped else None,
        image_size=sizes.pop() if sizes else None,
        frame_rate=float(rate) if rate else None,
    )


def _picture_numbers(images: dict[Any, Any]) -> dict[Any, int]:
    """Picture id -> frame number: of its name, else its id, else its place, whichever tells them all apart."""
    named = {key: frame_number(str(image.get("file_name", ""))) for key, image in images.items()}
    for numbers in (named, dict(zip(images, images, strict=True))):
        if all(isinstance(number, int) for number in numbers.values()) and len(set(numbers.values())) == len(images):
            return {key: int(number) for key, number in numbers.items() if number is not None}
    return {key: order for order, key in enumerate(images)}


def _names(source: Path, count: int) -> tuple[str, ...]:
    if count not in BY_COUNT:
        known = ", ".join(str(number) for number in sorted(BY_COUNT))
        raise InputError(
            f"{source.name} has {count} keypoints a person, and layouts known here have {known}.",
            "Write one of these layouts, or COCO annotations whose category names its keypoints.",
            "keypoints-count",
        )
    return BY_COUNT[count]


def write(track: KeypointTrack, path: str | Path) -> None:
    """Write keypoints as COCO annotations, whole or not at all. What is missing has x, y, v = 0, 0, 0.

    Raises:
        InputError: the target cannot be written.
    """
    width, height = track.image_size
    seconds = float(track.timestamps[-1] - track.timestamps[0]) if track.frame_count else 0.0
    images, annotations = [], []
    for number in range(track.frame_count):
        time = float(track.timestamps[number])
        picture = {"id": number, "file_name": f"{number:06d}.png", "width": width, "height": height, "time_s": time}
        images.append(picture)
        seen = (track.scores[number] > 0) & np.isfinite(track.positions[number]).all(axis=-1)
        if not seen.any():
            continue
        places = np.where(seen[:, None], track.positions[number].astype(np.float64), 0.0).round(3)
        scores = np.where(seen, track.scores[number].astype(np.float64), 0.0).round(6)
        flags = np.where(seen, np.where(scores < _HIDDEN_BELOW, 1, 2), 0)
        corner, span = places[seen].min(axis=0), np.ptp(places[seen], axis=0)
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "iscrowd": 0,
                "num_keypoints": int(seen.sum()),
                "keypoints": [
                    v for (x, y), flag in zip(places.tolist(), flags.tolist(), strict=True) for v in (x, y, flag)
                ],
                "keypoint_scores": scores.tolist(),
                "bbox": [*corner.round(3).tolist(), *span.round(3).tolist()],
                "area": round(float(span.prod()), 3),
                "score": round(float(scores[seen].mean()), 6),
            }
        )
    content = {
        "info": {
            "description": "keypoints of one person by video-to-pose",
            **({"frame_rate": round((track.frame_count - 1) / seconds, 6)} if seconds > 0 else {}),
        },
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(track.names), "skeleton": []}
        ],
    }
    with written_whole(path) as partial:
        partial.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
