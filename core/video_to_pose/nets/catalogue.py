# SPDX-License-Identifier: GPL-3.0-or-later
"""The lifting networks by name: what each needs, how it is built, and how its paper trains it.

This is the one place that knows them all. Training, evaluation, export, benchmarks and the command line take an
`Entry` and ask it; a network that is added here is known to all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..skeleton import Skeleton
from . import anatomy3d, fully_connected, gla_gcn, rie, seq2seq, srnet, tcn

Batch = Mapping[str, Tensor]
"""What a step of training sees: ``keypoints`` (N, T, K, C) and ``joints`` (N, T, J, 3). Where an entry wants `frames`
of the whole clip also ``clip_keypoints`` (N, l, K, C), ``clip_joints`` (N, l, J, 3), ``clip_roots`` (N, l, 3) where
joint 0 was, and ``cameras`` (N, 9), see `anatomy3d.project`."""


@dataclass(frozen=True)
class Stage:
    """A stretch of training with a schedule of its own.

    Attributes:
        epochs: passes over the training set.
        learning_rate: at its start.
    """

    epochs: int
    learning_rate: float


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Each entry holds its paper's; every field can be given anew.

    Attributes:
        stages: one after another, each with a fresh optimiser.
        batch: windows a step (of all processes together).
        optimiser: "ranger" is RAdam with Lookahead.
        betas: decay of the gradient's mean and square.
        epsilon: added to the root of the square.
        weight_decay: of "adamw".
        schedule: of the learning rate: "epochs": times `decay` after each epoch; "steps": times `decay` every 100,000
            steps, continuously; "cosine": down to `final_rate` at the stage's end.
        decay: see `schedule`.
        final_rate: see `schedule`.
        norm_momentum: of batch norms, at the beginning and the end of a stage, falling exponentially; None leaves it.
        flips: half of all samples are mirrored.
        length_spread: bones of sampled frames are changed at random by so much of their mean length, in all (only for
            networks that learn bone lengths); 0 for no such frames.
        clip_gradients: largest norm of a step's gradient; 0 for no bound.
        seed: of everything that is drawn.
    """

    stages: tuple[Stage, ...]
    batch: int = 1024
    optimiser: Literal["adam", "amsgrad", "adamw", "ranger"] = "amsgrad"
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    schedule: Literal["epochs", "steps", "cosine"] = "epochs"
    decay: float = 0.95
    final_rate: float = 1e-5
    norm_momentum: tuple[float, float] | None = None
    flips: bool = True
    length_spread: float = 0.0
    clip_gradients: float = 0.0
    seed: int = 1

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    def at_rate(self, learning_rate: float) -> Recipe:
        """The same with another rate in the first stage, and later stages' in proportion."""
        share = learning_rate / self.stages[0].learning_rate
        return replace(
            self, stages=tuple(replace(stage, learning_rate=share * stage.learning_rate) for stage in self.stages)
        )


Loss = Callable[[Any, Batch, Recipe, int], tuple[Tensor, Mapping[str, Tensor | float]]]
"""(network, batch, recipe, stage from 1) -> (what is minimised, what is worth printing)."""


@dataclass(frozen=True)
class ClipFrames:
    """Frames of the whole clip that a loss wants beside each window.

    Attributes:
        count: how many.
        selection: drawn over the clip, its first, or those around the answered frame.
        causal: none of them after the answered frame.
    """

    count: int
    selection: Literal["random", "first", "consecutive"] = "random"
    causal: bool = False


@dataclass(frozen=True)
class Entry:
    """A network of the catalogue.

    Attributes:
        id: what the command line takes.
        paper: who and when.
        settings: frozen dataclass of the network's options, the paper's by default.
        network: class; called with a skeleton and settings.
        receptive_fields: the paper's T.
        scores: whether keypoints' scores are read: "never", as an "option" (off by default), or "yes" by default.
        causal: whether it answers from the past: never, as an option, or always.
        size: receptive field -> the settings that make it.
        recipe: how the paper trains it.
        loss: what is minimised.
        enter: (network, stage from 1) -> the network to train in that stage.
        prepare: (network, keypoints (R, K, 2), joints (R, J, 3)) looks at the training set once, before training.
        after_step: (network) is called after each step of the optimiser.
        frames: (settings) -> what `loss` wants of the whole clip beside each window; None: nothing.
        chunk: (settings) -> frames of a clip that are given to an ONNX file at once, which bounds its memory; 0: all,
            since an answer depends on frames beyond the receptive field, or the file itself goes window by window.
        together: (settings) -> windows that an ONNX file answers together, in a loop over the clip, where windows share
            (next to) nothing; 0: the file is a plain graph of `forward`.
        variants: name -> settings that differ from the paper's choice: those of the authors' program, or a table's row.
    """

    id: str
    paper: str
    settings: type
    network: Callable[..., nn.Module]
    receptive_fields: tuple[int, ...]
    recipe: Recipe
    loss: Loss
    size: Callable[[int], Mapping[str, Any]]
    scores: Literal["never", "option", "yes"] = "never"
    causal: Literal["never", "option", "always"] = "option"
    enter: Callable[[Any, int], Any] = field(default=lambda net, stage: net)
    prepare: Callable[[Any, Tensor, Tensor], None] = field(default=lambda net, keypoints, joints: None)
    after_step: Callable[[Any], None] = field(default=lambda net: None)
    frames: Callable[[Any], ClipFrames | None] = field(default=lambda settings: None)
    chunk: Callable[[Any], int] = field(default=lambda settings: 2048)
    together: Callable[[Any], int] = field(default=lambda settings: 0)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def settings_for(self, receptive_field: int | None = None, variant: str = "", **changes: Any) -> Any:
        """The network's settings for T frames, the paper's largest T unless given.

        Raises:
            InputError: a T that this network cannot have, a variant or a setting that it does not.
        """
        frames = self.receptive_fields[-1] if receptive_field is None else receptive_field
        if variant and variant not in self.variants:
            raise InputError(
                f"{self.id} has no variant {variant!r}.",
                f"It has {', '.join(self.variants) or 'none'}; single settings can be changed with --set.",
                "net-settings",
            )
        check_fields(self.settings, changes, self.id)
        try:
            return self.settings(**{**self.size(frames), **self.variants.get(variant, {}), **changes})
        except (TypeError, ValueError) as wrong:
            given = "".join(f", {name} = {value!r}" for name, value in changes.items())
            raise InputError(
                f"{self.id} cannot be made with T = {frames}{given}: {wrong}.",
                f"The paper's receptive fields are {', '.join(map(str, self.receptive_fields))}.",
                "net-settings",
            ) from wrong

    def build(self, skeleton: Skeleton, settings: Any | None = None, stage: int | None = None) -> nn.Module:
        """The network with weights drawn at random.

        Args:
            skeleton: of keypoints and joints.
            settings: from `settings_for`; the paper's when None.
            stage: as it is in that stage of its training (from 1); None: the finished network.
        """
        net: nn.Module = self.network(skeleton, self.settings_for() if settings is None else settings)
        for entered in range(1, (stage or 0) + 1):
            net = self.enter(net, entered)
        return net


def check_fields(settings: type, values: Mapping[str, Any], owner: str) -> None:
    """Refuse names that a settings class lacks, and words that it does not know.

    Raises:
        InputError: says what there is instead.
    """
    known = get_type_hints(settings)
    for name, value in values.items():
        if name not in known:
            raise InputError(f"{owner} has no setting {name!r}.", f"It has {', '.join(known)}.", "net-settings")
        words = [
            word
            for part in (known[name], *get_args(known[name]))
            if get_origin(part) is Literal
            for word in get_args(part)
        ]
        if words and isinstance(value, str) and value not in words:
            raise InputError(
                f"{owner} has no {name} {value!r}.", f"Choose one of: {', '.join(map(str, words))}.", "net-settings"
            )


# --- losses in one form -------------------------------------------------------------------------------------------


def _plain(loss: Callable[..., tuple[Tensor, Any]]) -> Loss:
    return lambda net, batch, recipe, stage: loss(net, batch["keypoints"], batch["joints"])


def _anatomy3d_loss(
    net: anatomy3d.Anatomy3D, batch: Batch, recipe: Recipe, stage: int
) -> tuple[Tensor, Mapping[str, Tensor]]:
    sampled, augmented = (batch["clip_keypoints"], batch["clip_joints"]), None
    if recipe.length_spread:
        augmented = anatomy3d.augment(
            net.skeleton, batch["clip_joints"], batch["clip_roots"], batch["cameras"], recipe.length_spread
        )
    weights = anatomy3d.AUTHORS_WEIGHTS if net.settings.composition == "product" else anatomy3d.LossWeights()
    return anatomy3d.loss(
        net, batch["keypoints"], batch["joints"], sampled=sampled, augmented=augmented, weights=weights
    )


def _anatomy3d_frames(settings: anatomy3d.Anatomy3DSettings) -> ClipFrames:
    selection = "random" if settings.selection == "all" else settings.selection
    return ClipFrames(settings.sampled_frames, selection, settings.causal)


def _anatomy3d_chunk(settings: anatomy3d.Anatomy3DSettings) -> int:
    """Pieces of a clip can be given the whole clip's lengths afterwards where these are one set (see `export`)."""
    one_set = not settings.causal and settings.selection in ("random", "first")
    if not one_set or settings.composition != "exact":
        return 0
    return 2048 if settings.receptive_field < 243 else 768


def _gla_gcn_stage(net: gla_gcn.GLAGCN, stage: int) -> gla_gcn.GLAGCN:
    """In the second stage the reconstruction is no longer learnt (Sec. 3.2)."""
    if net.sequence_head is not None:
        net.sequence_head.requires_grad_(stage == 1)
    return net


def _frames(receptive_field: int) -> dict[str, int]:
    tcn.levels_of(receptive_field)  # refuses what is no power of three
    return {"receptive_field": receptive_field}


def _levels(receptive_field: int) -> dict[str, int]:
    return {"levels": tcn.levels_of(receptive_field)}


def _only(receptive_field: int) -> dict[str, Any]:
    if receptive_field != 1:
        raise InputError("A single-frame network sees one frame.", "Use --frames 1.", "net-settings")
    return {}


# --- the catalogue ------------------------------------------------------------------------------------------------

_CONVENTION = Recipe(stages=(Stage(80, 1e-3),), norm_momentum=(0.1, 0.001))
"""VideoPose3D's, which later papers keep where they say nothing: AMSGrad, 1e-3, x 0.95 an epoch."""

CATALOGUE: dict[str, Entry] = {
    entry.id: entry
    for entry in (
        Entry(
            "fc",
            "Martinez et al. 2017, A simple yet effective baseline",
            fully_connected.FullyConnectedSettings,
            fully_connected.FullyConnected,
            (1,),
            # Adam, 1e-3 decaying exponentially, batches of 64, 200 epochs; 0.96 every 100,000 steps
            Recipe(stages=(Stage(200, 1e-3),), optimiser="adam", batch=64, schedule="steps", decay=0.96),
            _plain(fully_connected.loss),
            _only,
            scores="option",
            causal="always",
            after_step=fully_connected.FullyConnected.constrain,
        ),
        Entry(
            "tcn",
            "Pavllo et al. 2019, VideoPose3D",
            tcn.TCNSettings,
            tcn.TCN,
            (27, 81, 243),
            _CONVENTION,
            _plain(tcn.loss),
            _frames,
            scores="option",
        ),
        Entry(
            "seq2seq",
            "Hossain & Little 2018, Exploiting temporal information",
            seq2seq.Seq2SeqSettings,
            seq2seq.Seq2Seq,
            (2, 3, 4, 5, 6, 7, 8, 9, 10),
            # 100 epochs of 32 sequences, Adam, 1e-5 x 0.96 every 100,000 steps; no flipped copies
            Recipe(stages=(Stage(100, 1e-5),), optimiser="adam", batch=32, schedule="steps", decay=0.96, flips=False),
            _plain(seq2seq.loss),
            lambda frames: {"frames": frames},
            causal="always",
            prepare=seq2seq.Seq2Seq.measure,
        ),
        Entry(
            "srnet",
            "Zeng et al. 2020, SRNet",
            srnet.SRNetSettings,
            srnet.SRNet,
            (1, 27, 81, 243),
            _CONVENTION,
            _plain(srnet.loss),
            lambda frames: {"filter_widths": srnet.filter_widths(frames)},
            variants={
                "full": {"structure": "full"},
                "group": {"structure": "group"},
                "split_fuse_split": {"structure": "split_fuse_split"},
                "add": {"combine": "add"},
                "concat": {"combine": "concat"},
            },
        ),
        Entry(
            "anatomy3d",
            "Chen et al. 2021, Anatomy3D",
            anatomy3d.Anatomy3DSettings,
            anatomy3d.Anatomy3D,
            (9, 27, 81, 243),
            # Adam; batches of 1024 original and as many augmented samples. The rest is VideoPose3D's.
            replace(_CONVENTION, optimiser="adam", length_spread=0.6),
            _anatomy3d_loss,
            _frames,
            scores="yes",
            frames=_anatomy3d_frames,
            chunk=_anatomy3d_chunk,
            variants={
                "regressed": {"composition": "regressed"},
                "program": {
                    "fed": "feature",
                    "selection": "all",
                    "attention_magnitudes": True,
                    "composition": "product",
                    "self_pairs": True,
                },
                "baseline": {"long_skips": False, "blocked": False, "scores": "none"},
            },
        ),
        Entry(
            "rie",
            "Shan et al. 2021, RIE",
            rie.RIESettings,
            rie.RIE,
            (27, 81, 243),
            # Three stages (Sec. 3.4); `rie.stages` says what each keeps and freezes
            replace(
                _CONVENTION,
                stages=(Stage(80, 1e-3), Stage(80, 1e-3), Stage(20, 5e-4)),
                optimiser="adamw",
                weight_decay=0.01,
            ),
            _plain(rie.loss),
            _levels,
            enter=lambda net, stage: rie.enter_stage(net, rie.stages(net)[stage - 1]),
            chunk=lambda settings: 0,
            together=lambda settings: 64,
            variants={
                "program": {"channels": 256, "latent": 256, "global_blocks": 2},
                "small": {"channels": 128, "latent": 128, "width": 256},
            },
        ),
        Entry(
            "gla_gcn",
            "Yu et al. 2023, GLA-GCN",
            gla_gcn.GLAGCNSettings,
            gla_gcn.GLAGCN,
            (27, 81, 243),
            # Ranger, 0.01, 80 epochs of batches of 512; the authors' program falls to 1e-5 on a cosine. The paper does
            # not say how its epochs fall to its two stages: half each here.
            Recipe(
                stages=(Stage(40, 0.01), Stage(40, 0.01)),
                batch=512,
                optimiser="ranger",
                betas=(0.95, 0.999),
                epsilon=1e-5,
                schedule="cosine",
            ),
            lambda net, batch, recipe, stage: gla_gcn.loss(net, batch["keypoints"], batch["joints"], stage),
            _frames,
            enter=_gla_gcn_stage,
            chunk=lambda settings: 0,
            together=lambda settings: max(1, gla_gcn.FRAMES_AT_ONCE // settings.receptive_field),
            variants={
                "reconstruction": {"reconstruction": True, "blend": 1.0, "refine": True},
                "program": {"b_init": 1e-6, "dropout_place": "program", "label_noise": True},
            },
        ),
    )
}


def find(name: str) -> Entry:
    """An entry by name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in CATALOGUE:
        raise InputError(
            f"There is no network named {name!r}.", f"Choose one of: {', '.join(CATALOGUE)}.", "net-unknown"
        )
    return CATALOGUE[name]


# --- facts about them ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        parameters: numbers learnt or carried.
        frame_multiply_adds: a frame of a whole clip, as `forward` computes it.
        window_multiply_adds: a single answer from its window alone, which is what papers print.
    """

    parameters: int
    frame_multiply_adds: int
    window_multiply_adds: int


def parameters(entry: Entry, settings: Any, skeleton: Skeleton) -> int:
    """How many numbers a network has, without making them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in entry.build(skeleton, settings).parameters())


def cost(entry: Entry, settings: Any, skeleton: Skeleton) -> Cost:
    """Count, without computing: the network is built of shapes alone.

    What one more frame, or one more window, adds is counted; what a clip costs however long it is, is not.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), torch.no_grad():
        net: Any = entry.build(skeleton, settings).eval()
        channels = 3 if net.needs_scores else 2

        def operations(run: Callable[[Tensor], Tensor], *shape: int) -> int:
            with FlopCounterMode(display=False) as counter:
                run(torch.zeros(*shape, skeleton.joint_count, channels))
            return counter.get_total_flops() // 2

        fewer, more = (operations(net, 1, frames) for frames in (16, 32))
        one, two = (operations(net.window, windows, net.receptive_field) for windows in (1, 2))
    return Cost(sum(parameter.numel() for parameter in net.parameters()), (more - fewer) // 16, two - one)
