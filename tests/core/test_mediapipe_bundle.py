# SPDX-License-Identifier: GPL-3.0-or-later
import io
import zipfile

import pytest

from video_to_pose import mediapipe_bundle

pytest.importorskip("mediapipe")

WEIGHTS = bytes(range(1, 9))


@pytest.fixture(scope="module")
def model():
    """A TFLite model of one input, with weights."""
    from mediapipe.tasks.metadata import schema_py_generated as tflite

    tensor = tflite.TensorT()
    tensor.name, tensor.shape = b"input", [1, 8, 8, 3]
    graph = tflite.SubGraphT()
    graph.tensors, graph.inputs = [tensor], [0]
    weights = tflite.BufferT()
    weights.data = list(WEIGHTS)
    tree = tflite.ModelT()
    tree.version, tree.subgraphs, tree.buffers = 3, [graph], [tflite.BufferT(), weights]
    return mediapipe_bundle._packed(tree, b"TFL3")


def test_the_metadata_say_how_the_picture_is_normalised(model):
    from mediapipe.tasks.metadata import metadata_schema_py_generated as schema
    from mediapipe.tasks.metadata import schema_py_generated as tflite

    described = tflite.Model.GetRootAsModel(mediapipe_bundle.with_image_metadata(model, 127.5, 64.0), 0)
    entry = described.Metadata(described.MetadataLength() - 1)
    assert entry.Name() == b"TFLITE_METADATA"
    data = described.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    assert data[4:8] == b"M001"
    image = schema.ModelMetadataT.InitFromObj(schema.ModelMetadata.GetRootAsModelMetadata(data, 0))
    tensor = image.subgraphMetadata[0].inputTensorMetadata[0]
    assert list(tensor.processUnits[0].options.mean) == [127.5]
    assert list(tensor.processUnits[0].options.std) == [64.0]
    assert tensor.content.contentProperties.colorSpace == schema.ColorSpaceType.RGB


def test_weights_are_kept_and_aligned(model):
    described = mediapipe_bundle.with_image_metadata(model, 0.0, 255.0)
    assert described[4:8] == b"TFL3"
    assert described.count(WEIGHTS) == 1
    assert described.index(WEIGHTS) % 16 == 0


def test_the_bundle_is_a_stored_zip_of_aligned_members(model):
    bundle = mediapipe_bundle.assemble(model, model)
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        assert archive.namelist() == ["pose_detector.tflite", "pose_landmarks_detector.tflite"]
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            assert bundle.index(archive.read(info)) % 16 == 0


def test_the_same_parts_give_the_same_bundle(model):
    assert mediapipe_bundle.assemble(model, model) == mediapipe_bundle.assemble(model, model)
