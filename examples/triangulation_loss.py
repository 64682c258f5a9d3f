"""Use triangulation in the loss of your own network.

Five cameras see points with a noise that differs between detections, and a blur that indicates it.
A small network learns from the blur how much to trust a detection: its weights go into the
triangulation, and the loss is the distance of the triangulated points from known ones.

    python examples/triangulation_loss.py
"""

import torch
from torch import nn

from multiview_geom import project_points, ring_of_cameras, triangulate_dlt

torch.manual_seed(0)
rig = ring_of_cameras(views=5, radius=4.0, height=1.5)

known = torch.rand(2000, 3) - 0.5  # [m]
exact = project_points(rig.projections, known)  # (views, points, 2) [px]
noise = 1 + 15 * torch.rand(exact.shape[:-1]) ** 3  # [px]
pixels = exact + noise[..., None] * torch.randn_like(exact)
blur = noise.log() + 0.1 * torch.randn_like(noise)

network = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1), nn.Softplus())
optimizer = torch.optim.Adam(network.parameters(), lr=0.05)

for step in range(20):
    weights = network(blur[..., None])[..., 0]  # (views, points), >= 0
    points = triangulate_dlt(rig.projections, pixels, weights=weights)
    loss = (points - known).norm(dim=-1).mean()  # [m]
    if step % 5 == 0:
        print(f"step {step:2}: mean error {1000 * loss.item():.2f} mm")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

print(f"at the end: mean error {1000 * loss.item():.2f} mm")
ideal = triangulate_dlt(rig.projections, pixels, weights=noise**-2)
print(f"With the true noise: {1000 * (ideal - known).norm(dim=-1).mean():.2f} mm")
