"""stats.gguf: an imatrix file of llama.cpp in its GGUF form, with curvature beside it (docs/formats.md)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .curvature import CurvatureSums
from .json_text import write_file

_VERSION = 3
_ALIGNMENT = 32
_UINT32, _STRING, _ARRAY = 4, 8, 9
#: ggml's numbers of types
_TYPES = {np.dtype(np.float32): 0, np.dtype(np.float64): 28}

Array = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    activations: Mapping[str, tuple[npt.NDArray[np.float64], int]]
    """by GGUF's name: [columns] Σx², and over how many tokens"""
    curvature: Mapping[str, CurvatureSums]
    datasets: list[str]
    chunk_size: int
    chunk_count: int

    def save(self, target: Path) -> None:
        """:raises TrainerError: where the file cannot be written"""
        fields = [
            _text("general.type", "imatrix"),
            _texts("imatrix.datasets", self.datasets),
            _number("imatrix.chunk_count", self.chunk_count),
            _number("imatrix.chunk_size", self.chunk_size),
        ]
        tensors = self._tensors()
        write_file(target, lambda partial: partial.write_bytes(_gguf(fields, tensors)))

    def _tensors(self) -> dict[str, Array]:
        """imatrix vectors are [length, 1], as llama.cpp has them."""
        tensors: dict[str, Array] = {}
        for name, (sums, count) in sorted(self.activations.items()):
            tensors[f"{name}.in_sum2"] = sums.astype(np.float32)[None, :]
            tensors[f"{name}.counts"] = np.array([[count]], dtype=np.float32)
        for name, curvature in sorted(self.curvature.items()):
            tensors[f"{name}.out_grad2"] = curvature.rows
            tensors[f"{name}.in_grad2"] = curvature.columns
            if len(curvature.gates):
                tensors[f"{name}.gate_grad2"] = curvature.gates
            tensors[f"{name}.grad2_count"] = np.array([curvature.count], dtype=np.float64)
        return tensors


def _gguf(fields: Sequence[bytes], tensors: Mapping[str, Array]) -> bytes:
    """Magic, version, counts | fields | tensors' names, dims (innermost first), types, offsets | data, each aligned."""
    header = [struct.pack("<4sIQQ", b"GGUF", _VERSION, len(tensors), len(fields)), *fields]
    data: list[bytes] = []
    offset = 0
    for name, values in tensors.items():
        dims = values.shape[::-1]
        header.append(_string(name) + struct.pack(f"<I{len(dims)}Q", len(dims), *dims))
        header.append(struct.pack("<IQ", _TYPES[values.dtype], offset))
        stored = _aligned(values.astype(values.dtype.newbyteorder("<")).tobytes())
        data.append(stored)
        offset += len(stored)
    return b"".join([_aligned(b"".join(header)), *data])


def _aligned(part: bytes) -> bytes:
    return part + b"\0" * (-len(part) % _ALIGNMENT)


def _string(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(encoded)) + encoded


def _text(key: str, text: str) -> bytes:
    return _string(key) + struct.pack("<I", _STRING) + _string(text)


def _texts(key: str, texts: Sequence[str]) -> bytes:
    return _string(key) + struct.pack("<IIQ", _ARRAY, _STRING, len(texts)) + b"".join(map(_string, texts))


def _number(key: str, value: int) -> bytes:
    return _string(key) + struct.pack("<II", _UINT32, value)
