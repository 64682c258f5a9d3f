"""Use a detector's confidences as weights, and find its gross errors.

A detector with heat maps reports how sharp each maximum is. Here the confidence is the inverse of
the noise, so its square is the right weight: an inverse variance. Weights do not help against gross
errors, such as the joint of another person; `triangulate_robust` finds and removes those.

    python examples/confidences_and_outliers.py
"""

import torch

from multiview_geom import project_points, ring_of_cameras, triangulate_dlt, triangulate_robust

torch.manual_seed(0)
rig = ring_of_cameras(views=5, radius=4.0, height=1.5)
truth = torch.rand(1000, 3) - 0.5  # [m]
exact = project_points(rig.projections, truth)  # (views, points, 2) [px]

# Sharp maxima have 1 px of noise, blurred ones up to 10 px.
noise = 1 + 9 * torch.rand(exact.shape[:-1]) ** 2
confidence = 1 / noise
pixels = exact + noise[..., None] * torch.randn_like(exact)

# 3 % of the detections are on another person, 200 px away.
wrong = torch.rand_like(confidence) < 0.03
pixels[wrong] += 200 * torch.nn.functional.normalize(torch.randn(int(wrong.sum()), 2), dim=-1)


def error_mm(points: torch.Tensor) -> str:
    """Format the mean and the median distance from the truth."""
    distances = 1000 * (points - truth).norm(dim=-1)
    return f"mean {distances.nanmean():6.2f} mm, median {distances.nanmedian():5.2f} mm"


weights = confidence.square()
print("equal weights:       ", error_mm(triangulate_dlt(rig.projections, pixels)))
print("confidence squared:  ", error_mm(triangulate_dlt(rig.projections, pixels, weights=weights)))

robust = triangulate_robust(rig.projections, pixels, threshold=30.0, weights=weights)
print("robust and weighted: ", error_mm(robust.points))
found = (wrong & ~robust.inliers).sum() / wrong.sum()
kept = (robust.inliers & ~wrong).sum() / (~wrong).sum()
print(f"It removed {found:.1%} of the wrong detections and kept {kept:.1%} of the others.")
