# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor names what is wrong and the exact mend."""

import sys

import pytest

from video_to_pose import doctor, weights


def check(name: str) -> doctor.Check:
    found = [check for check in doctor.examine() if check.name == name]
    assert len(found) == 1, f"{name}: {found}"
    return found[0]


def test_a_working_installation_can_convert(detector_model):
    checks = doctor.examine()
    assert doctor.can_convert(checks), [check for check in checks if check.needed and not check.ok]
    assert {"python", "mediapipe", "devices", "detector", "lifters"} <= {check.name for check in checks if check.ok}


def test_every_check_that_fails_says_a_mend(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDEO_TO_POSE_WEIGHTS", str(tmp_path / "file" / "weights"))
    (tmp_path / "file").touch()
    for package in ("scipy", "torch", "bpy", "moderngl"):
        monkeypatch.setitem(sys.modules, package, None)
    failing = [check for check in doctor.examine() if not check.ok]
    assert {"scipy", "torch", "cache folder"} <= {check.name for check in failing}
    assert all(check.found and len(check.mend) > 12 for check in failing)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    checks = doctor.examine()
    assert not doctor.can_convert(checks)
    missing = next(check for check in checks if check.name == "mediapipe")
    assert missing.mend.startswith(f"Run: {sys.executable} -m pip install ") and "mediapipe" in missing.mend


def test_packages_for_other_work_may_be_missing(detector_model, monkeypatch):
    for package in ("torch", "bpy", "moderngl"):
        monkeypatch.setitem(sys.modules, package, None)
    assert doctor.can_convert(doctor.examine())
    assert "only for training" in check("torch").found


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere MediaPipe brings all it links to")
def test_a_missing_system_library_is_named_with_its_package(monkeypatch):
    monkeypatch.setitem(doctor._LIBRARIES, "libnosuch.so.9", "libnosuch9")
    missing = check("system libraries")
    assert not missing.ok and missing.needed
    assert "libnosuch.so.9" in missing.found and "apt-get install libnosuch9 " in missing.mend


def test_two_onnx_runtimes_in_one_folder_are_told(monkeypatch, tmp_path):
    other = tmp_path / "onnxruntime_gpu-1.20.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.20.0\n")
    (other / "top_level.txt").write_text("onnxruntime\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    both = check("one ONNX Runtime")
    assert not both.ok and not both.needed
    assert "uninstall -y onnxruntime onnxruntime-gpu" in both.mend and "install onnxruntime-gpu" in both.mend


def test_a_model_that_is_not_fetched_yet_is_no_fault(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDEO_TO_POSE_WEIGHTS", str(tmp_path / "not yet"))
    assert check("detector model").ok and "first capture" in check("detector model").found
    assert not (tmp_path / "not yet").exists()


def test_a_damaged_lifter_is_told(monkeypatch, tmp_path):
    real = weights._place(weights._entry("default"))
    (tmp_path / real.name).write_bytes(real.read_bytes()[:-1] + b"!")
    (tmp_path / "SHA256SUMS").write_text((real.parent / "SHA256SUMS").read_text("utf-8"))
    monkeypatch.setattr(weights, "_LIFTERS", tmp_path)
    assert not check("lifters").ok and "missing or damaged: default" in check("lifters").found


def test_a_missing_lifter_is_told(monkeypatch, tmp_path):
    folder = weights._place(weights._entry("default")).parent
    for path in folder.iterdir():
        if path.name != "rie.onnx":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(weights, "_LIFTERS", tmp_path)
    assert check("lifters").found == "missing or damaged: rie"
