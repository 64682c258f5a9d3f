"""Lift 2D poses to 3D with an exported model, without PyTorch: needs NumPy and ONNX Runtime alone.

selfsup-lifting export runs/mine --onnx model.onnx
python examples/lift_with_onnx.py model.onnx
"""

import json
import sys

import numpy as np
import onnxruntime

model = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
skeleton = json.loads(model.get_modelmeta().custom_metadata_map["skeleton"])
pixels = np.random.default_rng(0).normal(500, 80, (2, len(skeleton["joints"]), 2))  # yours [px]
pixels[1, 5] = np.nan  # a joint that was not detected
confidence = np.isfinite(pixels).all(axis=-1)
intrinsics = np.array([[1145, 0, 500], [0, 1145, 500], [0, 0, 1]])  # K of your camera [px]
inputs = {"pixels": pixels, "confidence": confidence, "intrinsics": np.stack([intrinsics] * 2)}
floats = {name: array.astype(np.float32) for name, array in inputs.items()}
relative, placed = model.run(["root_relative", "in_camera"], floats)  # (poses, joints, 3) [m]
for joint, (x, y, z) in zip(skeleton["joints"], placed[0], strict=True):
    print(f"{joint:16s} {x:6.2f} {y:6.2f} {z:6.2f} m")
