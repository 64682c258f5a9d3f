"""The four losses in slow NumPy, written from the equations of the paper alone.

Bouazizi et al., FG 2021, eq. 2 to 5. Loops over frames, views and joints; no tensor library, no
code of the project. `mask[t, c]` says whether view c of frame t takes part.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Norm = Callable[[Array], float]


def squared_l2(deviation: Array) -> float:
    return float(np.sum(deviation**2))


def l1(deviation: Array) -> float:
    return float(np.sum(np.abs(deviation)))


def turn(cameras: Array, frame: int, view: int) -> Array:
    """rho from world to camera, for poses centred on the root: the rotation alone."""
    return cameras[frame, view, :3, :3]


def project(cameras: Array, frame: int, view: int, point: Array) -> Array:
    """tau: a point relative to the root, in world axes, to the image at depth one."""
    seen = turn(cameras, frame, view) @ point + cameras[frame, view, :3, 3]
    return seen[:2] / seen[2]


def dlt(projections: list[Array], images: list[Array]) -> Array:
    rows = []
    for projection, (u, v) in zip(projections, images, strict=True):
        rows += [u * projection[2] - projection[0], v * projection[2] - projection[1]]
    solution = np.linalg.svd(np.array(rows))[2][-1]
    return solution[:3] / solution[3]


def loss_input(poses: Array, labels: Array, cameras: Array, mask: Array, norm: Norm) -> float:
    """Eq. 2."""
    terms = [
        norm(turn(cameras, t, c) @ labels[t, j] - poses[t, c, j])
        for t, c, j in np.ndindex(poses.shape[:3])
        if mask[t, c]
    ]
    return float(np.mean(terms))


def loss_projection(poses: Array, image: Array, cameras: Array, mask: Array, root: int) -> float:
    """Eq. 3: view c_from's prediction in view c_to, both relative to the root in the image."""
    terms = []
    frames, views, joints, _ = poses.shape
    for t, c_to, c_from, j in np.ndindex(frames, views, views, joints):
        if mask[t, c_to] and mask[t, c_from]:
            joint = turn(cameras, t, c_from).T @ poses[t, c_from, j]
            middle = turn(cameras, t, c_from).T @ poses[t, c_from, root]
            projected = project(cameras, t, c_to, joint) - project(cameras, t, c_to, middle)
            terms.append(l1(image[t, c_to, j] - image[t, c_to, root] - projected))
    return float(np.mean(terms))


def loss_consistency(poses: Array, cameras: Array, mask: Array) -> float:
    """Eq. 4."""
    terms = []
    frames, views, joints, _ = poses.shape
    for t, c, other, j in np.ndindex(frames, views, views, joints):
        if c != other and mask[t, c] and mask[t, other]:
            turned = turn(cameras, t, c) @ turn(cameras, t, other).T @ poses[t, other, j]
            terms.append(l1(poses[t, c, j] - turned))
    return float(np.mean(terms))


def loss_output(poses: Array, cameras: Array, mask: Array, root: int, norm: Norm) -> float:
    """Eq. 5: every view's own prediction in its own camera, triangulated."""
    terms = []
    frames, views, joints, _ = poses.shape
    for t in range(frames):
        used = [c for c in range(views) if mask[t, c]]
        if len(used) < 2:
            continue
        own = {c: poses[t, c] + cameras[t, c, :3, 3] for c in used}
        output = np.array(
            [
                dlt([cameras[t, c, :3] for c in used], [own[c][j, :2] / own[c][j, 2] for c in used])
                for j in range(joints)
            ]
        )
        output = output - output[root]
        terms += [
            norm(turn(cameras, t, c) @ output[j] - poses[t, c, j])
            for c in used
            for j in range(joints)
        ]
    return float(np.mean(terms)) if terms else 0.0
