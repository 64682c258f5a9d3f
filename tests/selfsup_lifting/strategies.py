"""Takes drawn as named numbers, easy to degenerate."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from multiview_geom import Cameras, ring_of_cameras
from selfsup_lifting.recording import Recording
from selfsup_lifting.skeleton.skeletons import SKELETONS


@dataclass(frozen=True)
class Scene:
    """Some joints wandering in the middle of a ring of cameras."""

    views: int = 2
    frames: int = 1
    skeleton: str = "h36m17"
    seed: int = 0
    missing: float = 0.0

    def cameras(self) -> Cameras:
        return ring_of_cameras(self.views, 4.0, 1.5, target_height=1.0, dtype=torch.float64)

    def truth(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        joints = len(SKELETONS[self.skeleton].joints)
        middle = torch.tensor([0.0, 0.0, 1.0])
        return middle + 0.4 * torch.randn(self.frames, joints, 3, generator=generator)

    def recording(self) -> Recording:
        truth, cameras = self.truth(), self.cameras()
        flat = truth.reshape(-1, 3).double()
        pixels = cameras.project(flat).pixels.reshape(self.views, self.frames, -1, 2)
        generator = torch.Generator().manual_seed(self.seed + 1)
        confidence = torch.rand(pixels.shape[1], self.views, pixels.shape[2], generator=generator)
        lost = confidence < self.missing
        keypoints = torch.where(lost[..., None], torch.nan, pixels.transpose(0, 1).float())
        return Recording(
            name=f"scene {self.seed}",
            subject="S0",
            action="wandering",
            fps=50.0,
            skeleton=SKELETONS[self.skeleton],
            cameras=cameras,
            keypoints=keypoints,
            confidence=torch.where(lost, 0.0, confidence),
            truth=truth,
        )


scenes = st.builds(
    Scene,
    views=st.integers(2, 5),
    frames=st.integers(1, 8),
    skeleton=st.sampled_from(["h36m17", "coco17", "body25", "body25b"]),
    seed=st.integers(0, 1000),
    missing=st.sampled_from([0.0, 0.3, 1.0]),
)
