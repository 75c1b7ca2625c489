# SPDX-License-Identifier: GPL-3.0-or-later
"""Which detections of a clip are one person.

Three steps, each looking further than the one before:

1. `_stretches`: detections of neighbouring frames are joined where there is no doubt who is who;
2. `_join`: stretches are joined over crossings and short absences, all at once and at the least cost, by where people
   were going, how large they are, what they look like and how they hold themselves; then `_mend_exchanges` asks of
   every meeting of two people whether they came out of it exchanged;
3. `_join_returns`: who went away and came back is known by their looks.

No step joins over a cut.
"""

from __future__ import annotations

from bisect import bisect, bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

Array = NDArray[Any]

_SEEN_SCORE = 0.3  # keypoints below it do not count towards a person's size
_DOUBLE = 0.15  # two detections of one frame closer than this, in body sizes, are one person found twice
_SIZE_RATIO = 2.0  # by which factor a person's size may differ from when they were seen last

_NEAR = 0.25  # how far, in body sizes, a person may be from where they were seen last …
_NEAR_PER_S = 4.5  # … and how much farther for each second since (a sprinter at 8 m/s)
_NEAR_MOST = 1.0
_UNLIKE = 0.1  # mean difference of colours, of 0 … 1, from which a leap leads to somebody else
_STRETCH_GAP_S = 0.12  # a stretch may miss this long
_DOUBT = 0.12  # by how much, in body sizes, the next best must be worse, else a stretch ends
_PATH_S = 0.4  # of a stretch's end say where somebody is going
_SPEED_S = 0.12  # what is seen shorter says little of how fast
_CROWDED = 0.15  # share of a person's box that others in front may cover before looks and path are not trusted
_LEVEL = 0.03  # share of a person's height by which feet must be lower to be surely in front

_JOIN_S = 2.0  # by where somebody was going they are known again for so long …
_BRIEF_S = 0.25  # … but a glimpse leads no farther than this …
_BRIEF_TIMES = 2.0  # … and so many times as long as it was itself
_MOST_COST = 14.0  # of a joint; dearer, and somebody ends here and somebody else begins
_ALONE = 2.0  # what it costs to leave a glimpse out, that nobody be led astray by it, …
_ALONE_PER_SIGHTING = 1.5
_MISSED = 1.0  # what a joint costs that leaves frames out, so that two people do not share one's sightings
_STRAY = 0.08  # body sizes by which a path is unsure at once …
_STRAY_PER_S = 0.6  # … and more with each second unseen
_STRAYED = 3.0  # times that, and it is somebody else
_TURN_PER_S = 0.5  # body sizes a second by which people change their way while unseen
_TURN_MOST = 4.0
_LOOK_SPREAD = 0.05  # differences of colour of one person in other light, or from behind
_LOOK_WEIGHT = 1.0
_LOOK_MOST = 10.0  # cost of quite another look: light may change too
_LOOK_UNKNOWN = 1.0
_LOOK_SIGHTINGS = 30  # clear ones nearest to the end of a track that say what somebody looks like there
_CLEAR = 5  # clear sightings say for sure what somebody looks like …
_CHANGED_LOOK = 6.0  # … and who differs more is somebody else

_SAME_LOOK = 4.0  # mean squared difference in spreads up to which a look may be the same person's after long …
_OTHER_LOOK = 2.0  # … if the next best differ so many times more
_MEETING = 0.6  # body sizes between two people's centres at which they may be mistaken for each other
_EXCHANGE = 3.0  # by which cost exchanged must be better than not
_LEAP = 0.12  # body sizes that a trunk never leaps off its path in a frame …
_LEAP_PER_S = 2.0  # … or in so many seconds
_SPURT_PER_S2 = 15.0  # … or in so many seconds squared, by spurts and turns
_LEAP_S = 0.45  # over which the path between neighbours is known
_GHOST_S = 1.0
_GHOST_SHARE = 0.4
_LEAST_RETURN_S = 0.4  # shorter tracks belong to nobody by their looks alone …
_LEAST_RETURN = 3  # … and with fewer sightings not by their place either
_MOST_RETURNS = 300  # tracks, the longest, that are compared with each other


class Person2D(Protocol):
    """What is needed of a detection: see `detect.Detection`."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def positions(self) -> NDArray[np.float32]: ...
    @property
    def scores(self) -> NDArray[np.float32]: ...


@dataclass(frozen=True, eq=False)
class Sightings:
    """All detections of a clip in one list, in order of frames.

    Attributes:
        found: N detections.
        frames: (N,) the frame of each.
        times: (N,) seconds.
        shots: (N,) which shot it is in.
        positions: (N, K, 2) pixels.
        scores: (N, K).
        centres: (N, 2) of the trunk, or of all that is seen.
        sizes: (N,) diagonals of the boxes around keypoints.
        looks: (N, A) appearance, NaN where not seen; A may be 0.
        crowded: (N,) the box of somebody who may be in front covers much of this one's.
    """

    found: list[Person2D]
    frames: Array
    times: Array
    shots: Array
    positions: Array
    scores: Array
    centres: Array
    sizes: Array
    looks: Array
    crowded: Array


Track = list[int]
"""Indices into `Sightings`, in order of time, of one person."""


def gather(times: Array, detections: Sequence[Sequence[Person2D]], cuts: Sequence[int]) -> Sightings:
    """Detections without doubles, with what is asked of each of them again and again."""
    found, frames, crowded = [], [], []
    for frame, people in enumerate(detections):
        people = _without_doubles(people)
        found += people
        frames += [frame] * len(people)
        crowded += _crowded(people)
    positions = np.array([person.positions for person in found], dtype=float)
    scores = np.array([person.scores for person in found], dtype=float)
    looks = [getattr(person, "appearance", None) for person in found]
    length = max((len(look) for look in looks if look is not None), default=0)
    index = np.array(frames, dtype=int)
    return Sightings(
        found,
        index,
        np.asarray(times, dtype=float)[index],
        np.searchsorted(np.asarray(sorted(cuts), dtype=int), index, side="right"),
        positions,
        scores,
        _centres(found, positions, scores),
        np.array([body_size(person.positions, person.scores) for person in found]),
        np.array([np.full(length, np.nan) if look is None else look for look in looks]).reshape(len(found), length),
        np.array(crowded, dtype=bool),
    )


def body_size(positions: Array, scores: Array) -> float:
    """Diagonal in pixels of the box around the keypoints that are seen (at least 1)."""
    low, high = body_box(positions, scores)
    return max(float(np.hypot(*(high - low))), 1.0)


def body_box(positions: Array, scores: Array) -> tuple[Array, Array]:
    """Upper left and lower right corner of the box around the keypoints that are seen."""
    seen = scores >= _SEEN_SCORE
    points = positions[seen] if seen.sum() >= 4 else positions
    return points.min(axis=0), points.max(axis=0)


def follow(sightings: Sightings) -> list[Track]:
    """Every person's sightings, in the order in which they are first seen."""
    stretches = _split_at_meetings(sightings, _stretches(sightings))
    spread = look_spread(sightings, stretches)
    tracks = _join(sightings, stretches, spread)
    tracks = _join(sightings, _split_at_changes(sightings, tracks, stretches, spread), spread)
    tracks = _mend_exchanges(sightings, tracks, spread)
    tracks = _join_returns(sightings, tracks, spread)
    real = [_without_leaps(sightings, track) for track in tracks if not _is_ghost(sightings, track)]
    return sorted(real or tracks, key=lambda track: track[0])


def _without_leaps(seen: Sightings, track: Track) -> Track:
    """Without single sightings that leap off the path and back, faster than anybody can."""
    if len(track) < 5:
        return track
    at, times, sizes = seen.centres[track], seen.times[track], seen.sizes[track]
    leaps = np.zeros(len(track), dtype=bool)
    middle = np.arange(2, len(track) - 2)
    off = []
    for reach in (1, 2):
        before, after = middle - reach, middle + reach
        share = ((times[middle] - times[before]) / (times[after] - times[before]))[:, None]
        off.append(np.linalg.norm(at[middle] - (1 - share) * at[before] - share * at[after], axis=1) / sizes[middle])
    beside = (times[middle + 1] - times[middle - 1]) / 2
    near = times[middle + 2] - times[middle - 2] <= _LEAP_S
    leaps[middle] = (np.minimum(*off) > _LEAP + _SPURT_PER_S2 * beside**2) & near
    return [sighting for sighting, leap in zip(track, leaps, strict=True) if not leap]


def _is_ghost(seen: Sightings, track: Track) -> bool:
    """Never seen but on somebody else, and briefly or now and then: a detection gone astray."""
    if np.count_nonzero(~seen.crowded[track]) >= _CLEAR:
        return False
    frames = int(seen.frames[track[-1]] - seen.frames[track[0]]) + 1
    return bool(seen.times[track[-1]] - seen.times[track[0]] < _GHOST_S or len(track) < _GHOST_SHARE * frames)


# --- one frame -----------------------------------------------------------------------------------------------------


def _apart(a: Person2D, b: Person2D) -> float:
    """Mean distance of two people's keypoints in pixels, counting the ones seen well."""
    weights = np.minimum(a.scores, b.scores) + 0.05
    return float(np.average(np.linalg.norm(a.positions - b.positions, axis=-1), weights=weights))


def _without_doubles(people: Sequence[Person2D]) -> list[Person2D]:
    """Of detections that lie on each other, the one with the best score."""
    kept: list[Person2D] = []
    for person in sorted(people, key=lambda person: -float(person.scores.mean())):
        size = body_size(person.positions, person.scores)
        if all(_apart(person, other) > _DOUBLE * size for other in kept):
            kept.append(person)
    return kept


def _crowded(people: Sequence[Person2D]) -> list[bool]:
    boxes = [body_box(person.positions, person.scores) for person in people]

    def covered(one: tuple[Array, Array], other: tuple[Array, Array]) -> float:
        shared = np.clip(np.minimum(one[1], other[1]) - np.maximum(one[0], other[0]), 0, None)
        return float(shared.prod() / max((one[1] - one[0]).prod(), 1.0))

    def is_behind(one: tuple[Array, Array], other: tuple[Array, Array]) -> bool:
        """Or may be: who is nearer to the camera reaches lower down in the picture."""
        return bool(other[1][1] > one[1][1] - _LEVEL * (one[1][1] - one[0][1]))

    return [
        any(covered(one, other) > _CROWDED and is_behind(one, other) for other in boxes if other is not one)
        for one in boxes
    ]


def _centres(found: Sequence[Person2D], positions: Array, scores: Array) -> Array:
    if not found:
        return np.zeros((0, 2))
    names = found[0].names
    trunk = [names.index(f"{s}_{p}") for s in ("left", "right") for p in ("shoulder", "hip") if f"{s}_{p}" in names]
    if len(trunk) == 4:
        return positions[:, trunk].mean(axis=1)
    weights = scores + 1e-3
    return (positions * weights[..., None]).sum(axis=1) / weights.sum(axis=1)[:, None]


# --- step 1: stretches without doubt -------------------------------------------------------------------------------


def _stretches(seen: Sightings) -> list[Track]:
    """Join detections of neighbouring frames where each is by far the best for the other."""
    done: list[Track] = []
    running: list[Track] = []
    starts = np.flatnonzero(np.diff(seen.frames, prepend=-1))
    for first, last in zip(starts, [*starts[1:], len(seen.frames)], strict=True):
        now, shot = seen.times[first], seen.shots[first]
        still = [t for t in running if now - seen.times[t[-1]] <= max(_STRETCH_GAP_S, 2.5 * _step(seen, t))]
        still = [track for track in still if seen.shots[track[-1]] == shot]
        done += [track for track in running if not any(track is other for other in still)]
        here = np.arange(first, last)
        costs = _step_costs(seen, still, here) if still else np.zeros((0, len(here)))
        links = _sure_links(costs)
        linked, taken = ({link[side] for link in links} for side in (0, 1))
        for i, j in links:
            still[i].append(int(here[j]))
        # A single sighting that may be one of those that begin anew is not waited for: it would be in doubt with them
        # again in the next frame, and they in the one after it, without end.
        new = [j for j in range(len(here)) if j not in taken]
        doubted = {
            int(i) for i in np.flatnonzero(np.isfinite(costs[:, new]).any(axis=1)) if len(still[i]) == 1
        } - linked
        done += [still[i] for i in sorted(doubted)]
        running = [track for i, track in enumerate(still) if i not in doubted] + [[int(here[j])] for j in new]
    return done + running


def _step(seen: Sightings, track: Track) -> float:
    """Seconds between a stretch's last two sightings."""
    return float(seen.times[track[-1]] - seen.times[track[-2]]) if len(track) > 1 else 0.0


def _step_costs(seen: Sightings, running: list[Track], here: Array) -> Array:
    """(R, H) distances in body sizes from where people were going, infinite where it cannot be."""
    last = np.array([track[-1] for track in running])
    waited = seen.times[here[0]] - seen.times[last]
    going = np.zeros((len(last), 2))
    for i, track in enumerate(running):
        if len(track) >= 3:
            before = track[max(-6, -len(track))]
            span = seen.times[track[-1]] - seen.times[before]
            going[i] = (seen.centres[track[-1]] - seen.centres[before]) / span * waited[i]
    offsets = seen.positions[here][None] - seen.positions[last][:, None]
    weights = np.minimum(seen.scores[here][None], seen.scores[last][:, None]) + 0.05
    weights /= weights.sum(axis=-1, keepdims=True)
    size = np.maximum(seen.sizes[here][None], seen.sizes[last][:, None])
    stay = (np.linalg.norm(offsets, axis=-1) * weights).sum(axis=-1) / size
    go = (np.linalg.norm(offsets - going[:, None, None], axis=-1) * weights).sum(axis=-1) / size
    ratio = np.abs(np.log(seen.sizes[here][None] / seen.sizes[last][:, None]))
    looks = np.abs(seen.looks[here][None] - seen.looks[last][:, None])
    known = np.isfinite(looks)
    look = np.where(known, looks, 0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
    reach = np.minimum(_NEAR + _NEAR_PER_S * waited, _NEAR_MOST)[:, None]
    reach = np.where(look > _UNLIKE, np.minimum(reach, _LEAP), reach)
    impossible = (np.minimum(stay, go) > reach) | (ratio > np.log(_SIZE_RATIO))
    shift = seen.centres[here][None] - seen.centres[last][:, None]
    leap = np.minimum(np.linalg.norm(shift, axis=-1), np.linalg.norm(shift - going[:, None], axis=-1)) / size
    impossible |= leap > _LEAP + _LEAP_PER_S * waited[:, None]
    return np.where(impossible, np.inf, np.minimum(stay, go) + 0.3 * ratio + look)


def _sure_links(costs: Array) -> list[tuple[int, int]]:
    links = []
    for i, j in np.argwhere(np.isfinite(costs)):
        row, column = np.delete(costs[i], j), np.delete(costs[:, j], i)
        if costs[i, j] + _DOUBT <= min(row.min(initial=np.inf), column.min(initial=np.inf)):
            links.append((int(i), int(j)))
    return links


# --- step 2: over crossings and short absences ---------------------------------------------------------------------


def look_spread(seen: Sightings, tracks: Sequence[Track]) -> Array:
    """(A,) how much each number of a look varies for one person in this clip, with what other light may add."""
    rest = [seen.looks[track] - _median(seen.looks[track]) for track in tracks if len(track) >= 10]
    if not rest:
        return np.full(seen.looks.shape[1], np.hypot(0.05, _LOOK_SPREAD))
    scatter = 1.48 * np.nan_to_num(_median(np.abs(np.concatenate(rest))), nan=0.05)
    return np.hypot(np.maximum(scatter, 0.01), _LOOK_SPREAD)


def _median(looks: Array) -> Array:
    """Median over the first axis of the finite values; NaN where there is none."""
    ordered = np.sort(looks, axis=0)  # NaN last
    count = np.isfinite(ordered).sum(axis=0)
    if not len(looks):
        return np.full(looks.shape[1:], np.nan)
    low, high = np.maximum(count - 1, 0) // 2, np.maximum(count, 1) // 2
    columns = np.arange(looks.shape[1])
    return np.where(count > 0, (ordered[low, columns] + ordered[np.minimum(high, len(looks) - 1), columns]) / 2, np.nan)


def look_difference(a: Array, b: Array, spread: Array) -> float:
    """Mean squared difference of two looks in spreads; NaN when too little is seen of both."""
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 6:
        return float("nan")
    return float(np.mean(((a[known] - b[known]) / spread[known]) ** 2))


@dataclass(frozen=True, eq=False)
class _End:
    """Where and how a track ends or begins, from what is seen clearly near there."""

    time: float
    at: Array
    speed: Array
    known: float  # 0 … 1: how well the speed is
    unsure: float  # body sizes
    size: float
    look: Array
    shape: Array
    lasted: float
    clear: bool


def _end(seen: Sightings, track: Track, last: bool, within_s: float = _PATH_S) -> _End:
    part = np.array(track[::-1] if last else track)
    near = part[np.abs(seen.times[part] - seen.times[part[0]]) <= within_s]
    clear = near[~seen.crowded[near]]
    used = clear if len(clear) >= 3 else near
    clear_looks = part[~seen.crowded[part]]
    looks = seen.looks[(clear_looks if len(clear_looks) else part)[:_LOOK_SIGHTINGS]]
    time, size = float(seen.times[used[0]]), float(np.median(seen.sizes[used]))
    at, speed, unsure, known = seen.centres[used[0]], np.zeros(2), 0.0, 0.0
    if len(used) >= 3 and np.ptp(seen.times[used]) > 0:
        past = seen.times[used] - time
        speed, at = np.polyfit(past, seen.centres[used], 1)
        span = float(np.ptp(past))
        known = span**2 / (span**2 + _SPEED_S**2)
        speed = speed * known
    else:
        unsure = 0.1
    sighting, lasted = part[0], float(seen.times[track[-1]] - seen.times[track[0]])
    shape = (seen.positions[sighting] - seen.centres[sighting]) / seen.sizes[sighting]
    return _End(time, at, speed, known, unsure, size, _median(looks), shape, lasted, len(clear_looks) >= _CLEAR)


def _look_cost(a: Array, b: Array, spread: Array, sure: bool) -> float:
    difference = look_difference(a, b, spread)
    if np.isnan(difference):
        return _LOOK_UNKNOWN
    if sure and difference > _CHANGED_LOOK:
        return float("inf")
    return min(_LOOK_WEIGHT * difference, _LOOK_MOST)


def _path_cost(end: _End, begin: _End) -> float:
    """How ill a path fits another one later; infinite where nobody can have gone so."""
    gap = max(begin.time - end.time, 0.0)
    size = max(end.size, begin.size)
    coast = min(gap, 0.7)  # people do not go straight on for ever
    ahead = np.linalg.norm(end.at + end.speed * coast - begin.at)
    behind = np.linalg.norm(begin.at - begin.speed * coast - end.at)
    unsure = _STRAY + _STRAY_PER_S * gap + end.unsure + begin.unsure
    stray = (ahead + behind) / 2 / size / unsure
    resize = abs(np.log(begin.size / end.size)) / (0.12 + 0.4 * gap)
    if stray > _STRAYED or resize > 4.0:
        return float("inf")
    turn = float(np.linalg.norm(end.speed - begin.speed)) / size / _TURN_PER_S
    return 0.5 * float(stray**2 + resize**2) + min(0.5 * turn**2, _TURN_MOST) * end.known * begin.known


def _join_cost(end: _End, begin: _End, gap: float, spread: Array) -> float:
    cost = _path_cost(end, begin)
    if not np.isfinite(cost):
        return cost
    if gap < 0.2:  # nobody holds themselves otherwise so soon
        cost += min(0.5 * (float(np.linalg.norm(end.shape - begin.shape, axis=-1).mean()) / (0.04 + gap)) ** 2, 6.0)
    return cost + _look_cost(end.look, begin.look, spread, end.clear and begin.clear)


def _join(seen: Sightings, tracks: list[Track], spread: Array) -> list[Track]:
    """Join stretches so that the costs of all joints and of all ends are least together."""
    order = sorted(range(len(tracks)), key=lambda i: tracks[i][0])
    begins = np.array([seen.times[tracks[i][0]] for i in order])
    ends = [_end(seen, track, last=True) for track in tracks]
    starts = [_end(seen, track, last=False) for track in tracks]
    links: dict[tuple[int, int], float] = {}
    for i, track in enumerate(tracks):
        ended = seen.times[track[-1]]
        for k in range(*np.searchsorted(begins, [ended, ended + _JOIN_S], side="right")):
            j = order[k]
            gap = float(begins[k] - ended)
            if gap > _BRIEF_S + _BRIEF_TIMES * min(ends[i].lasted, starts[j].lasted):
                continue
            if seen.shots[track[-1]] == seen.shots[tracks[j][0]]:
                cost = _join_cost(ends[i], starts[j], gap, spread)
                cost += _MISSED * (seen.frames[tracks[j][0]] - seen.frames[track[-1]] > 1)
                if cost < _MOST_COST:
                    links[i, j] = cost
    glimpses = {i: cost for i, t in enumerate(tracks) if (cost := _ALONE + _ALONE_PER_SIGHTING * len(t)) < _MOST_COST}
    return _chain(tracks, _cheapest(links, glimpses, len(tracks)))


def _cheapest(links: dict[tuple[int, int], float], glimpses: dict[int, float], count: int) -> dict[int, int]:
    """Each track's next one at the least cost together.

    Whoever has none costs `_MOST_COST`; a glimpse that has none and is nobody's next costs less.
    """
    if not links:
        return {}
    rows, columns = (np.array(side) for side in zip(*links, strict=True))
    costs = np.array(list(links.values()))
    following: dict[int, int] = {}
    # Matched part by part: the matching takes the square of what it is given at once.
    _, part = connected_components(coo_array((costs, (rows, columns)), shape=(count, count)), directed=False)
    order = np.argsort(part[rows], kind="stable")
    edges = np.flatnonzero(np.diff(part[rows][order])) + 1
    for some in np.split(order, edges):
        members = np.unique(np.concatenate([rows[some], columns[some]]))
        alone = np.array([place for place, i in enumerate(members) if int(i) in glimpses], dtype=int)
        size = len(members)
        unlinked = np.arange(size)
        matrix = coo_array(
            (
                np.concatenate([costs[some], [glimpses[int(members[k])] for k in alone], np.full(size, _MOST_COST)])
                + 1.0,  # 0 is no link
                (
                    np.concatenate([np.searchsorted(members, rows[some]), alone, unlinked]),
                    np.concatenate([np.searchsorted(members, columns[some]), alone, size + unlinked]),
                ),
            ),
            shape=(size, 2 * size),
        ).tocsr()
        for i, j in zip(*min_weight_full_bipartite_matching(matrix), strict=True):
            if j < size and j != i:
                following[int(members[i])] = int(members[j])
    return following


def _chain(tracks: list[Track], following: dict[int, int]) -> list[Track]:
    chained = []
    for i in sorted(set(range(len(tracks))) - set(following.values())):
        chain = list(tracks[i])
        while i in following:
            i = following[i]
            chain += tracks[i]
        chained.append(chain)
    return chained


# --- who is who after a meeting ------------------------------------------------------------------------------------


def _split_at_meetings(seen: Sightings, tracks: list[Track]) -> list[Track]:
    """Split a stretch where another one ends or begins close by: the detector may have gone over to the other."""
    at_frame: dict[int, list[int]] = {}
    for i, track in enumerate(tracks):
        for sighting in track:
            at_frame.setdefault(int(seen.frames[sighting]), []).append(i)
    frames = [seen.frames[track] for track in tracks]
    splits: list[set[int]] = [set() for _ in tracks]
    final = int(seen.frames[-1]) if len(seen.frames) else 0
    for i, track in enumerate(tracks):
        for sighting, near_frames in ((track[0], (0, -1)), (track[-1], (0, 1))):
            frame = int(seen.frames[sighting])
            if (sighting == track[0] and frame == 0) or (sighting == track[-1] and frame == final):
                continue
            for other in {j for step in near_frames for j in at_frame.get(frame + step, []) if j != i}:
                place = int(np.searchsorted(frames[other], frame + (sighting == track[-1])))
                if not 0 < place < len(tracks[other]):
                    continue
                there = tracks[other][place]
                apart = np.linalg.norm(seen.centres[there] - seen.centres[sighting])
                if apart < _MEETING * max(seen.sizes[there], seen.sizes[sighting]):
                    splits[other].add(place)
    parts = []
    for track, places in zip(tracks, splits, strict=True):
        edges = [0, *sorted(places), len(track)]
        parts += [track[a:b] for a, b in pairwise(edges)]
    return parts


def _split_at_changes(seen: Sightings, tracks: list[Track], stretches: list[Track], spread: Array) -> list[Track]:
    """Split tracks where somebody looks like somebody else before and after.

    It happens where stretches were joined by glimpses, and where a detector went over to another person behind whom
    somebody vanished. What lies between the last clear sighting before and the first one after is parted where the
    look changes most at once.
    """
    starts = np.zeros(len(seen.frames), dtype=bool)
    starts[[stretch[0] for stretch in stretches]] = True
    parts = []
    for track in tracks:
        own = np.array(track)
        clear = np.flatnonzero(~seen.crowded[own])
        doubtful = seen.crowded[own] | starts[own]
        doubtful[0] = False
        edges = [0]
        first = 0  # of `clear` since the last edge
        for k, (last, following) in enumerate(pairwise(clear)):
            places = np.arange(last + 1, following + 1)
            if not doubtful[places].any():
                continue
            before = own[clear[max(first, k + 1 - _LOOK_SIGHTINGS) : k + 1]]
            after = own[clear[k + 1 : k + 1 + _LOOK_SIGHTINGS]]
            if min(len(before), len(after)) < _CLEAR:
                continue
            if look_difference(_median(seen.looks[before]), _median(seen.looks[after]), spread) > _CHANGED_LOOK:
                leaps = np.abs(seen.looks[own[places]] - seen.looks[own[places - 1]])
                edges.append(int(places[np.argmax(np.where(np.isfinite(leaps), leaps, 0).sum(axis=1))]))
                first = k + 1
        parts += [track[a:b] for a, b in pairwise([*edges, len(track)])]
    return parts


@dataclass(frozen=True)
class _Meeting:
    """From when to when two tracks were close, when closest, and a sighting of each from then or before."""

    begin: float
    end: float
    closest: float
    one: int
    other: int


def overlapping(seen: Sightings, tracks: Sequence[Track]) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of tracks that are there at the same time, in order; found without asking every pair."""
    begins, ends = (np.array([seen.times[track[k]] for track in tracks]) for k in (0, -1))
    order = np.argsort(begins, kind="stable")
    pairs: list[tuple[int, int]] = []
    running: list[int] = []
    for i in order.tolist():
        running = [j for j in running if ends[j] >= begins[i]]
        pairs += [(min(i, j), max(i, j)) for j in running]
        running.append(i)
    return sorted(pairs)


def _meetings(seen: Sightings, tracks: list[Track]) -> list[_Meeting]:
    found = []
    indices = [np.array(track) for track in tracks]
    for i, j in overlapping(seen, tracks):
        both = tracks[i], tracks[j]
        first, last = max(seen.times[t[0]] for t in both), min(seen.times[t[-1]] for t in both)
        if last <= first:
            continue
        a, b = (during(seen, indices[k], first, last) for k in (i, j))
        times = np.unique(np.concatenate([seen.times[a], seen.times[b]]))
        times = times[(times >= first) & (times <= last)]
        places = [np.stack([np.interp(times, seen.times[t], seen.centres[t, k]) for k in (0, 1)], 1) for t in (a, b)]
        sizes = np.maximum(*(np.interp(times, seen.times[t], seen.sizes[t]) for t in (a, b)))
        apart = np.linalg.norm(places[0] - places[1], axis=1) / sizes
        close = np.flatnonzero(apart < _MEETING)
        for run in np.split(close, np.flatnonzero(np.diff(times[close]) > 0.3) + 1) if len(close) else []:
            closest = times[run[np.argmin(apart[run])]]
            one, other = (int(t[int(np.searchsorted(seen.times[t], closest, side="right")) - 1]) for t in (a, b))
            found.append(_Meeting(float(times[run[0]]), float(times[run[-1]]), float(closest), one, other))
    return sorted(found, key=lambda meeting: meeting.closest)


def during(seen: Sightings, track: Array, first: float, last: float) -> Array:
    """A track's sightings from `first` to `last`, with one more on each side to interpolate from."""
    at = seen.times.__getitem__
    return track[max(bisect_left(track, first, key=at) - 1, 0) : bisect(track, last, key=at) + 1]


def _mend_exchanges(seen: Sightings, tracks: list[Track], spread: Array) -> list[Track]:
    """Where two people met, exchange what follows if paths, sizes and looks before and after fit better so."""
    following = [np.array(track) for track in tracks]
    owner = np.zeros(len(seen.frames), dtype=int)
    for i, track in enumerate(following):
        owner[track] = i
    for meeting in _meetings(seen, tracks):
        i, j = int(owner[meeting.one]), int(owner[meeting.other])
        if i == j:
            continue
        before = [_window(seen, following[k], meeting.begin - 2.0, meeting.begin) for k in (i, j)]
        after = [_window(seen, following[k], meeting.end, meeting.end + 2.0) for k in (i, j)]
        if any(len(part) < 3 for part in before + after):
            continue
        ends = [_end(seen, part, last=True, within_s=0.25) for part in before]
        begins = [_end(seen, part, last=False, within_s=0.25) for part in after]
        kept, exchanged = (
            sum(_meeting_cost(ends[k], begins[k if keep else 1 - k], spread) for k in (0, 1)) for keep in (True, False)
        )
        if exchanged + _EXCHANGE < kept:
            (head, tail), (other_head, other_tail) = (
                np.split(following[k], [bisect(following[k], meeting.closest, key=seen.times.__getitem__)])
                for k in (i, j)
            )
            following[i], following[j] = np.concatenate([head, other_tail]), np.concatenate([other_head, tail])
            owner[other_tail], owner[tail] = i, j
    return [track.tolist() for track in following]


def _window(seen: Sightings, track: Array, begin: float, end: float) -> Track:
    """What is seen clearly of a track between two times."""
    first, last = (bisect(track, time, key=seen.times.__getitem__) for time in (np.nextafter(begin, -np.inf), end))
    part = track[first:last]
    return part[~seen.crowded[part]].tolist()


def _meeting_cost(end: _End, begin: _End, spread: Array) -> float:
    difference = look_difference(end.look, begin.look, spread)
    look = _LOOK_UNKNOWN if np.isnan(difference) else min(difference, 2 * _LOOK_MOST)
    return look + (min(_path_cost(end, begin), 8.0) if begin.time - end.time <= 1.5 else 0.0)


# --- step 3: leaving and coming back -------------------------------------------------------------------------------


def _join_returns(seen: Sightings, tracks: list[Track], spread: Array) -> list[Track]:
    """Join tracks of a shot that look like one person's, however long that person was away."""
    joined = []
    shots: dict[int, list[Track]] = {}
    for track in tracks:
        shots.setdefault(int(seen.shots[track[0]]), []).append(track)
    for _, here in sorted(shots.items()):
        for group in alike(seen, here, spread):
            joined.append(sorted(sighting for i in group for sighting in here[i]))
    return joined


def alike(seen: Sightings, tracks: Sequence[Track], spread: Array) -> list[list[int]]:
    """Groups of tracks that are one person's by their looks, or, without looks, by where they went and came back.

    Nobody is in two places at once: tracks that overlap in time are two people's. A pair that could as well be
    another's is left apart.
    """
    long = [i for i, track in enumerate(tracks) if len(track) >= _LEAST_RETURN]
    if len(long) > _MOST_RETURNS:
        long = sorted(long, key=lambda i: -len(tracks[i]))[:_MOST_RETURNS]
    begins, ends = (np.array([seen.times[tracks[i][k]] for i in long]) for k in (0, -1))
    unlike = _unlike(seen, [tracks[i] for i in long], begins, ends, spread)
    at_once = (begins[:, None] <= ends) & (begins <= ends[:, None])
    member = np.eye(len(long), dtype=bool)  # [g, k]: k is of group g, which is known by any of its members
    group = np.arange(len(long))
    busy = at_once.copy()  # [g, k]: k is there at the same time as one of group g
    pairs = np.argwhere(unlike <= _SAME_LOOK)
    for a, b in pairs[np.argsort(unlike[tuple(pairs.T)], kind="stable")].tolist():
        one, other = group[a], group[b]
        if one == other or (busy[one] & member[other]).any():
            continue
        rivals = [unlike[~member[one] & busy[one], b], unlike[a, ~member[other] & busy[other]]]
        if np.concatenate(rivals).min(initial=np.inf) >= _OTHER_LOOK * unlike[a, b] + 0.5:
            member[one] |= member[other]
            busy[one] |= busy[other]
            group[member[other]] = one
    groups = [[i] for i in sorted(set(range(len(tracks))) - set(long))]
    _, firsts = np.unique(group, return_index=True)
    return groups + [sorted(long[k] for k in np.flatnonzero(member[group[first]])) for first in np.sort(firsts)]


def _unlike(seen: Sightings, tracks: Sequence[Track], begins: Array, ends: Array, spread: Array) -> Array:
    """(T, T) how unlike each later track is to each one that ended before it; infinite where it is another's."""
    looks = [_median(_clear_looks(seen, track)) for track in tracks]
    unlike = np.full((len(tracks), len(tracks)), np.inf)
    for i, j in np.argwhere(ends[:, None] < begins):
        unlike[i, j] = _return_cost(seen, tracks[i], tracks[j], look_difference(looks[i], looks[j], spread))
    return unlike


def _clear_looks(seen: Sightings, track: Track) -> Array:
    part = np.array(track)
    clear = part[~seen.crowded[part]]
    return seen.looks[clear if len(clear) >= 3 else part]


def _return_cost(seen: Sightings, before: Track, after: Track, difference: float) -> float:
    last, first = before[-1], after[0]
    size = max(seen.sizes[last], seen.sizes[first])
    away = float(np.linalg.norm(seen.centres[first] - seen.centres[last])) / size
    if seen.shots[last] == seen.shots[first]:
        if away > _NEAR_MOST + _NEAR_PER_S * (seen.times[first] - seen.times[last]):
            return float("inf")
    elif np.isnan(difference):
        return float("inf")
    lasted = min(seen.times[track[-1]] - seen.times[track[0]] for track in (before, after))
    if np.isfinite(difference) and (lasted >= _LEAST_RETURN_S or difference > _SAME_LOOK):
        return difference
    ratio = abs(float(np.log(seen.sizes[first] / seen.sizes[last])))
    return _SAME_LOOK * away if away <= _NEAR_MOST and ratio <= np.log(_SIZE_RATIO) else float("inf")
