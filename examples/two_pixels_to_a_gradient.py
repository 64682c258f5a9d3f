"""From two pixels to a 3D point, and from the point back to a gradient.

A point 2 m in front of two parallel cameras, 1 m apart, is triangulated from its two pixels. The
gradient of its depth tells how much an error of one pixel moves the point.

    python examples/two_pixels_to_a_gradient.py
"""

import torch

from multiview_geom import point_depths, triangulate_dlt

focal_length = 1000.0
K = torch.tensor([[focal_length, 0.0, 500.0], [0.0, focal_length, 500.0], [0.0, 0.0, 1.0]])
left = K @ torch.eye(3, 4)
right = K @ torch.tensor([[1.0, 0, 0, -1.0], [0, 1, 0, 0], [0, 0, 1, 0]])  # 1 m to the right
projections = torch.stack([left, right])  # (views, 3, 4)

pixels = torch.tensor([[[700.0, 400.0]], [[200.0, 400.0]]])  # (views, points, 2) [px]
pixels.requires_grad_()

points = triangulate_dlt(projections, pixels)  # (points, 3) [m]
depth = point_depths(projections, points)[0, 0]
depth.backward()

x, y, z = points[0].tolist()
print(f"The point is at ({x:.3f}, {y:.3f}, {z:.3f}) m.")

# The depth is focal_length * baseline / disparity, so its derivative by the left column is
# -depth / disparity = -2 / 500 m per pixel, and the opposite by the right column.
slope_left, slope_right = pixels.grad[:, 0, 0].tolist()
print(f"One pixel to the right in the left image moves it by {1000 * slope_left:.2f} mm in depth,")
print(f"one pixel to the right in the right image by {1000 * slope_right:.2f} mm.")
