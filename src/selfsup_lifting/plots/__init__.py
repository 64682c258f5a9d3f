"""Draw skeletons, rigs and errors with matplotlib: every function takes axes and returns them."""

from selfsup_lifting.plots.errors import draw_joint_errors as draw_joint_errors
from selfsup_lifting.plots.errors import draw_pck_curve as draw_pck_curve
from selfsup_lifting.plots.gaps import draw_gaps as draw_gaps
from selfsup_lifting.plots.poses import draw_keypoints as draw_keypoints
from selfsup_lifting.plots.poses import draw_skeleton as draw_skeleton
from selfsup_lifting.plots.residuals import draw_residuals as draw_residuals
from selfsup_lifting.plots.residuals import draw_residuals_over_time as draw_residuals_over_time
from selfsup_lifting.plots.rig import draw_rig as draw_rig
from selfsup_lifting.plots.rig import draw_rig_from_above as draw_rig_from_above
from selfsup_lifting.plots.rig import draw_rig_from_the_side as draw_rig_from_the_side
from selfsup_lifting.plots.training import draw_gradient_shares as draw_gradient_shares
from selfsup_lifting.plots.training import draw_held_out_error as draw_held_out_error
from selfsup_lifting.plots.training import draw_losses as draw_losses
