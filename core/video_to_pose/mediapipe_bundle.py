# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting a MediaPipe pose `.task` bundle together from plain TFLite models.

The Pose Landmarker of MediaPipe's Tasks API wants a stored zip of two TFLite files that say in their metadata how
their input picture is normalised. The same networks lie in MediaPipe's old wheel without that metadata; this module
adds it with the schema classes the installed `mediapipe` ships.
"""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

DETECTOR_MEMBER = "pose_detector.tflite"
LANDMARKS_MEMBER = "pose_landmarks_detector.tflite"
_METADATA_BUFFER = b"TFLITE_METADATA"
_ALIGNMENT = 16  # bytes; what the TFLite schema demands of weights, so that they can be used where they lie
_ZIP_HEADER_BYTES = 30
_ZIP_PADDING_ID = 0xD935


def assemble(detector: bytes, landmarks: bytes) -> bytes:
    """The `.task` bundle of a person detector and a landmark model, both TFLite files without metadata.

    The same input and library versions give the same bytes.

    Raises:
        ImportError: when `mediapipe` or `flatbuffers` is not installed.
    """
    members = {
        DETECTOR_MEMBER: with_image_metadata(detector, mean=127.5, std=127.5),
        LANDMARKS_MEMBER: with_image_metadata(landmarks, mean=0.0, std=255.0),
    }
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_STORED) as archive:  # MediaPipe maps the members: no compression
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.extra = _padding(bundle.tell() + _ZIP_HEADER_BYTES + len(name))
            archive.writestr(entry, content)
    return bundle.getvalue()


def _padding(offset: int) -> bytes:
    """A zip extra field (id, size, zeros) after which the member's content starts on an aligned address."""
    size = -(offset + 4) % _ALIGNMENT
    return struct.pack("<HH", _ZIP_PADDING_ID, size) + bytes(size)


def with_image_metadata(model: bytes, mean: float, std: float) -> bytes:
    """A TFLite model whose one input is declared an RGB image, fed as (value - mean) / std."""
    from mediapipe.tasks.metadata import schema_py_generated as tflite  # type: ignore[import-untyped]

    tree = tflite.ModelT.InitFromObj(tflite.Model.GetRootAsModel(model, 0))
    buffer = tflite.BufferT()
    buffer.data = list(_image_metadata(mean, std))
    entry = tflite.MetadataT()
    entry.name = _METADATA_BUFFER
    entry.buffer = len(tree.buffers)
    tree.buffers.append(buffer)
    tree.metadata = [*(tree.metadata or []), entry]
    return _packed(tree, b"TFL3")


def _image_metadata(mean: float, std: float) -> bytes:
    from mediapipe.tasks.metadata import metadata_schema_py_generated as schema

    normalization = schema.NormalizationOptionsT()
    normalization.mean, normalization.std = [mean], [std]
    unit = schema.ProcessUnitT()
    unit.optionsType, unit.options = schema.ProcessUnitOptions.NormalizationOptions, normalization
    image = schema.ImagePropertiesT()
    image.colorSpace = schema.ColorSpaceType.RGB
    content = schema.ContentT()
    content.contentPropertiesType, content.contentProperties = schema.ContentProperties.ImageProperties, image
    tensor = schema.TensorMetadataT()
    tensor.name, tensor.content, tensor.processUnits = "image", content, [unit]
    graph = schema.SubGraphMetadataT()
    graph.inputTensorMetadata = [tensor]
    model = schema.ModelMetadataT()
    model.subgraphMetadata = [graph]
    return _packed(model, b"M001")


def _packed(tree: Any, identifier: bytes) -> bytes:
    import flatbuffers  # type: ignore[import-untyped]

    class AlignedBuilder(flatbuffers.Builder):  # the Python packer forgets the schema's `force_align`
        def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802
            return super().StartVector(elemSize, numElems, _ALIGNMENT if elemSize == 1 else alignment)

    builder = AlignedBuilder(1024)
    builder.Finish(tree.Pack(builder), file_identifier=identifier)
    return bytes(builder.Output())
