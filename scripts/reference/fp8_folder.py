#!/usr/bin/env python3
"""Shows that weights in FP8 are read as PyTorch reads them, for every way in which checkpoints keep their scales.

Needs torch and safetensors (`pip install torch safetensors numpy`); `make test` needs neither.

    plasticity export MODEL.gguf --format hf --dtype bf16 -o FOLDER
    fp8_folder.py FOLDER WORK --program build/plasticity

For each layout the projections are rounded to FP8 by torch (WORK/NAME/fp8) and turned back by torch, code · scale in F32
(WORK/NAME/f32). This program's exports of both folders to a GGUF in F32 must be the same bytes; the exit code is 1 when
any are not.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

import torch
from safetensors.torch import load_file, save_file

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2


def compressed_tensors(**weights):
    return {"quant_method": "compressed-tensors", "format": "float-quantized",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", **weights}}}}


# name: (type, rows and columns of a block (0: all), suffix of scales, their type, quantization_config)
LAYOUTS = {
    "deepseek": (E4M3, (128, 128), "_scale_inv", torch.float32,
                 {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}),
    "ue8m0": (E4M3, (128, 128), "_scale_inv", torch.float8_e8m0fnu,
              {"quant_method": "fp8", "scale_fmt": "ue8m0", "weight_block_size": [128, 128]}),
    "tensor": (E4M3, (0, 0), "_scale", torch.float32, {"quant_method": "fp8", "activation_scheme": "static"}),
    "channel": (E4M3, (1, 0), "_scale", torch.bfloat16, compressed_tensors(strategy="channel")),
    "block": (E4M3, (128, 128), "_scale", torch.bfloat16,
              compressed_tensors(strategy="block", block_structure=[128, 128])),
    "fbgemm": (E4M3, (1, 0), "_scale", torch.float32, {"quant_method": "fbgemm_fp8"}),
    "e5m2": (E5M2, (64, 96), "_scale_inv", torch.float32, {"quant_method": "fp8", "weight_block_size": [64, 96]}),
}


def spread(scales, block, shape):
    """One scale for every weight."""
    sizes = [size or whole for size, whole in zip(block, shape)]
    every = scales.float().repeat_interleave(sizes[0], 0).repeat_interleave(sizes[1], 1)
    return every[:shape[0], :shape[1]]


def block_maxima(weight, block):
    sizes = [size or whole for size, whole in zip(block, weight.shape)]
    maxima = [[part.abs().max() for part in row.split(sizes[1], 1)] for row in weight.split(sizes[0], 0)]
    return torch.stack([torch.stack(row) for row in maxima])


def to_fp8(weight, dtype, block, scale_dtype):
    """Codes, scales, and what both stand for in F32."""
    weight = weight.float()
    scales = (block_maxima(weight, block).clamp(min=2.0**-60) / torch.finfo(dtype).max).to(scale_dtype)
    every = spread(scales, block, weight.shape)
    limit = torch.finfo(dtype).max
    codes = (weight / every).clamp(-limit, limit).to(dtype)
    return codes, scales, codes.float() * every


def write_folders(source, target, layout):
    """@returns how many weights are FP8"""
    dtype, block, suffix, scale_dtype, quantization = layout
    fp8, f32, count = {}, {}, 0
    for name, weight in load_file(source / "model.safetensors").items():
        fp8[name] = f32[name] = weight
        if name.endswith("_proj.weight"):
            fp8[name], scales, f32[name] = to_fp8(weight, dtype, block, scale_dtype)
            fp8[name + suffix] = scales.reshape(()) if block == (0, 0) else scales
            count += weight.numel()
    config = json.loads((source / "config.json").read_text()) | {"_name_or_path": "fp8"}
    for folder, tensors, more in ((target / "fp8", fp8, {"quantization_config": quantization}), (target / "f32", f32, {})):
        folder.mkdir(parents=True)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(config | more))
        for path in source.glob("*.json"):
            if path.name != "config.json":
                shutil.copy(path, folder)
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="of a model in one model.safetensors")
    parser.add_argument("work", type=pathlib.Path, help="for what is written and compared; some GB")
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    options = parser.parse_args()

    differing = []
    for name in options.layouts:
        target = options.work / name
        count = write_folders(options.folder, target, LAYOUTS[name])
        files = [target / f"{kind}.gguf" for kind in ("fp8", "f32")]
        for file in files:
            subprocess.run([options.program, "export", file.with_suffix(""), "--format", "gguf", "--dtype", "f32", "-o", file,
                            "--quiet"], check=True)
        is_same = files[0].read_bytes() == files[1].read_bytes()
        differing += [] if is_same else [name]
        print(f"{name}: {count:,} weights in FP8, {files[0].stat().st_size:,} bytes: {'same' if is_same else 'DIFFERENT'}")
        shutil.rmtree(target)
    print(f"torch {torch.__version__}: {len(options.layouts) - len(differing)} of {len(options.layouts)} layouts are read alike")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
