# SPDX-License-Identifier: GPL-3.0-or-later
"""Every network behind one door: the papers' sizes, one interface, losses that reach all weights."""

import pytest

torch = pytest.importorskip("torch")

from tests.core.training.figures import FRAMES, figure, small  # noqa: E402
from video_to_pose.errors import InputError  # noqa: E402
from video_to_pose.nets import catalogue  # noqa: E402
from video_to_pose.nets.catalogue import CATALOGUE, Recipe, Stage  # noqa: E402
from video_to_pose.skeleton import BODY_22, H36M_17, HUMANEVA_15  # noqa: E402
from video_to_pose.training.windows import Windows  # noqa: E402

ENTRIES = list(CATALOGUE.values())
each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("name", "variant", "frames", "millions"),
    [
        ("tcn", "", 27, 8.56),
        ("tcn", "", 81, 12.75),
        ("tcn", "", 243, 16.95),
        ("anatomy3d", "program", 9, 18.24),
        ("anatomy3d", "program", 27, 31.89),  # the paper prints 31.88
        ("anatomy3d", "program", 81, 45.53),
        ("anatomy3d", "program", 243, 59.18),
        ("gla_gcn", "", 27, 0.84),
        ("gla_gcn", "", 81, 1.10),
        ("gla_gcn", "", 243, 1.35),
        ("gla_gcn", "reconstruction", 243, 1.88),
        ("srnet", "full", 1, 6.39),
        ("srnet", "", 1, 1.33),
        ("srnet", "add", 1, 1.33),
        ("srnet", "concat", 1, 1.34),
        ("srnet", "", 243, 3.61),
        ("seq2seq", "", 5, 16.96),
        ("rie", "program", 243, 41.78),
    ],
)
def test_sizes_are_the_papers(name, variant, frames, millions):
    entry = catalogue.find(name)
    count = catalogue.parameters(entry, entry.settings_for(frames, variant), H36M_17)
    assert round(count / 1e6, 2) == millions


@each
@pytest.mark.parametrize("skeleton", [H36M_17, HUMANEVA_15, BODY_22], ids=lambda skeleton: skeleton.name)
def test_all_have_one_interface_for_any_skeleton(entry, skeleton):
    net = entry.build(skeleton, small(entry)).eval()
    assert net.receptive_field == FRAMES[entry.id] and 0 <= net.target < net.receptive_field
    assert net.needs_scores == (entry.scores == "yes")
    clip = torch.rand(2, 30, skeleton.joint_count, 3 if net.needs_scores else 2)
    with torch.no_grad():
        assert net(clip).shape == (2, 30, skeleton.joint_count, 3)
        assert net.window(clip[:, : net.receptive_field]).shape == (2, skeleton.joint_count, 3)


@each
def test_causal_ones_answer_the_last_frame(entry):
    if entry.causal == "never":
        pytest.skip("it has no causal form")
    net = entry.build(H36M_17, small(entry, **({"causal": True} if entry.causal == "option" else {})))
    assert net.target == net.receptive_field - 1


def batch_for(entry, net, recipe):
    settings = net.settings
    windows = Windows(
        [figure("a"), figure("b")],
        net.receptive_field,
        net.target,
        scores=net.needs_scores,
        flips=recipe.flips,
        clip_frames=entry.frames(settings),
    )
    return windows.batch(torch.arange(0, windows.count, 7))


@each
def test_in_every_stage_the_loss_teaches_exactly_what_is_not_frozen(entry):
    torch.manual_seed(0)
    changes = {"gla_gcn": {"reconstruction": True, "blend": 0.5}}.get(entry.id, {})
    net = entry.build(H36M_17, small(entry, **changes))
    for stage in range(1, len(entry.recipe.stages) + 1):
        net = entry.enter(net, stage).train()
        batch = batch_for(entry, net, entry.recipe)
        total, parts = entry.loss(net, batch, entry.recipe, stage)
        total.backward()
        assert torch.isfinite(total) and parts
        for name, parameter in net.named_parameters():
            assert (parameter.grad is not None) == parameter.requires_grad, f"stage {stage}: {name}"
        net.zero_grad()


def test_rie_freezes_its_encoders_and_gla_gcn_its_reconstruction():
    rie, gla = catalogue.find("rie"), catalogue.find("gla_gcn")
    second = rie.build(H36M_17, small(rie), stage=2)
    assert {name.split(".")[0] for name, p in second.named_parameters() if not p.requires_grad} == {
        "encoders",
        "global_encoder",
    }
    last = gla.build(H36M_17, small(gla, reconstruction=True), stage=2)
    assert all(name.startswith("sequence_head") for name, p in last.named_parameters() if not p.requires_grad)
    assert not last.sequence_head.time.weight.requires_grad


def test_costs_are_counted_a_frame_of_a_long_clip_and_a_lonely_window():
    entry = catalogue.find("fc")
    cost = catalogue.cost(entry, entry.settings_for(), H36M_17)
    assert cost.frame_multiply_adds == cost.window_multiply_adds == 34 * 1024 + 4 * 1024**2 + 1024 * 51
    tcn = catalogue.find("tcn")
    cost = catalogue.cost(tcn, tcn.settings_for(27), H36M_17)
    assert cost.frame_multiply_adds == 1024 * (3 * 34 + 2 * 4 * 1024 + 51)  # every weight once a frame
    assert cost.window_multiply_adds == 1024 * (9 * 3 * 34 + (3 + 1) * 4 * 1024 + 51)  # 9, 3, 1 times


@pytest.mark.parametrize(
    ("ask", "named"),
    [
        (lambda: catalogue.find("resnet"), "anatomy3d"),
        (lambda: catalogue.find("tcn").settings_for(26), "T = 26"),
        (lambda: catalogue.find("fc").settings_for(27), "--frames 1"),
        (lambda: catalogue.find("tcn").settings_for(27, "authors"), "authors"),
        (lambda: catalogue.find("tcn").settings_for(27, chanels=3), "chanels"),
        (lambda: catalogue.find("srnet").settings_for(27, combine="divide"), "multiply, add, concat"),
    ],
    ids=["name", "frames", "single", "variant", "setting", "word"],
)
def test_what_there_is_not_is_named_with_what_there_is(ask, named):
    with pytest.raises(InputError) as raised:
        ask()
    assert named in raised.value.message + raised.value.hint


def test_another_rate_keeps_the_stages_in_proportion():
    recipe = Recipe(stages=(Stage(80, 1e-3), Stage(20, 5e-4))).at_rate(1e-4)
    assert [stage.learning_rate for stage in recipe.stages] == pytest.approx([1e-4, 5e-5])
