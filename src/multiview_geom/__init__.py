"""Differentiable multi-view geometry in PyTorch: points, cameras and the maps between them."""

# Convert points to homogeneous coordinates and back.
from multiview_geom.homogeneous import from_homogeneous as from_homogeneous
from multiview_geom.homogeneous import to_homogeneous as to_homogeneous

# Build, apply, invert and compose transforms.
from multiview_geom.transforms import Similarity as Similarity
from multiview_geom.transforms import rigid_transform as rigid_transform
from multiview_geom.transforms import invert_transform as invert_transform
from multiview_geom.transforms import relative_transform as relative_transform
from multiview_geom.transforms import transform_points as transform_points
from multiview_geom.transforms import world_to_camera as world_to_camera
from multiview_geom.transforms import camera_to_world as camera_to_world
from multiview_geom.transforms import camera_to_camera as camera_to_camera

# Convert rotations.
from multiview_geom.rotations import rotation_from_quaternion as rotation_from_quaternion
from multiview_geom.rotations import rotation_to_quaternion as rotation_to_quaternion
from multiview_geom.rotations import rotation_from_vector as rotation_from_vector
from multiview_geom.rotations import rotation_to_vector as rotation_to_vector
from multiview_geom.alignment.procrustes import nearest_rotation as nearest_rotation

# Build a rig of cameras.
from multiview_geom.cameras import Cameras as Cameras
from multiview_geom.lenses.lens import Lens as Lens
from multiview_geom.camera_placement import look_at as look_at
from multiview_geom.camera_placement import ring_of_cameras as ring_of_cameras

# Project points and measure the result.
from multiview_geom.projection import project_points as project_points
from multiview_geom.projection import point_depths as point_depths
from multiview_geom.projection import in_front as in_front
from multiview_geom.projection import decompose_projections as decompose_projections
from multiview_geom.projection import reprojection_error as reprojection_error
from multiview_geom.projection import triangulation_angle as triangulation_angle

# Distort, undistort, project and unproject with a lens.
from multiview_geom.validity import ProjectedPoints as ProjectedPoints
from multiview_geom.validity import ValidDirections as ValidDirections
from multiview_geom.validity import ValidPixels as ValidPixels
from multiview_geom.validity import ViewingRays as ViewingRays
from multiview_geom.lenses.polynomial import distort_pixels as distort_pixels
from multiview_geom.lenses.polynomial import undistort_pixels as undistort_pixels
from multiview_geom.lenses.fisheye import (
    project_fisheye_camera_points as project_fisheye_camera_points,
)
from multiview_geom.lenses.fisheye import unproject_fisheye_pixels as unproject_fisheye_pixels
from multiview_geom.lenses.fisheye import distort_fisheye_pixels as distort_fisheye_pixels
from multiview_geom.lenses.fisheye import undistort_fisheye_pixels as undistort_fisheye_pixels

# Triangulate points from pixels in many views.
from multiview_geom.triangulation.linear import triangulate_dlt as triangulate_dlt
from multiview_geom.triangulation.linear import triangulate_dlt_svd as triangulate_dlt_svd
from multiview_geom.triangulation.iterative import triangulate_iterative as triangulate_iterative
from multiview_geom.triangulation.midpoint import triangulate_midpoint as triangulate_midpoint
from multiview_geom.triangulation.two_view import triangulate_two_view as triangulate_two_view
from multiview_geom.triangulation.robust import RobustPoints as RobustPoints
from multiview_geom.triangulation.robust import triangulate_robust as triangulate_robust
from multiview_geom.triangulation.refinement import RefinedPoints as RefinedPoints
from multiview_geom.triangulation.refinement import refine_points as refine_points
from multiview_geom.triangulation.residual_losses import LinearLoss as LinearLoss
from multiview_geom.triangulation.residual_losses import HuberLoss as HuberLoss
from multiview_geom.triangulation.residual_losses import CauchyLoss as CauchyLoss
from multiview_geom.triangulation.uncertainty import point_covariance as point_covariance

# Relate two views by their epipolar geometry, and find poses of cameras.
from multiview_geom.epipolar import fundamental_from_projections as fundamental_from_projections
from multiview_geom.epipolar import essential_from_transforms as essential_from_transforms
from multiview_geom.epipolar import epipolar_lines as epipolar_lines
from multiview_geom.epipolar import sampson_distance as sampson_distance
from multiview_geom.five_point import RelativePose as RelativePose
from multiview_geom.five_point import relative_pose as relative_pose
from multiview_geom.absolute_pose import solve_pnp as solve_pnp

# Calibrate a rig from what its cameras saw; adjust cameras and points together.
from multiview_geom.calibration.refinement import CalibratedRig as CalibratedRig
from multiview_geom.calibration.extrinsics import calibrate_extrinsics as calibrate_extrinsics
from multiview_geom.calibration.focal_lengths import (
    calibrate_focal_lengths as calibrate_focal_lengths,
)
from multiview_geom.calibration.refinement import refine_calibration as refine_calibration
from multiview_geom.bundle_adjustment.camera_parameters import CameraParameter as CameraParameter
from multiview_geom.bundle_adjustment.adjust import BundleAdjustment as BundleAdjustment
from multiview_geom.bundle_adjustment.adjust import bundle_adjust as bundle_adjust
from multiview_geom.bundle_adjustment.priors import BoneLengths as BoneLengths
from multiview_geom.bundle_adjustment.priors import SmoothMotion as SmoothMotion
from multiview_geom.bundle_adjustment.gauge import align_rigs as align_rigs
from multiview_geom.bundle_adjustment.gauge import transform_cameras as transform_cameras

# Align point sets.
from multiview_geom.alignment.procrustes import align_rigid as align_rigid
from multiview_geom.alignment.procrustes import align_similarity as align_similarity
from multiview_geom.alignment.generalized import GeneralizedAlignment as GeneralizedAlignment
from multiview_geom.alignment.generalized import generalized_procrustes as generalized_procrustes

# Decompose symmetric matrices.
from multiview_geom.linalg import smallest_eigenvector as smallest_eigenvector

# Read and write calibration files.
from multiview_geom.camera_files import CameraFile as CameraFile
from multiview_geom.camera_files import CameraFileError as CameraFileError
from multiview_geom.camera_files import CameraFormat as CameraFormat
from multiview_geom.camera_files import CameraRecord as CameraRecord
from multiview_geom.camera_files import CameraSource as CameraSource
from multiview_geom.camera_files import FilePlace as FilePlace
from multiview_geom.camera_files import load_cameras as load_cameras
from multiview_geom.camera_files import read_camera_file as read_camera_file
from multiview_geom.camera_files import save_cameras as save_cameras

# Check and summarize a rig.
from multiview_geom.rig_checks import CameraSummary as CameraSummary
from multiview_geom.rig_checks import CameraIssue as CameraIssue
from multiview_geom.rig_checks import CameraIssueKind as CameraIssueKind
from multiview_geom.rig_checks import check_cameras as check_cameras
from multiview_geom.rig_checks import summarize_cameras as summarize_cameras

# Convert to and from the cameras of other libraries.
from multiview_geom.conventions.colmap import ColmapCameras as ColmapCameras
from multiview_geom.conventions.pinholes import KorniaCameras as KorniaCameras
from multiview_geom.conventions.pinholes import OpenGLCameras as OpenGLCameras
from multiview_geom.conventions.pinholes import PyTorch3DCameras as PyTorch3DCameras
from multiview_geom.conventions.colmap import from_colmap as from_colmap
from multiview_geom.conventions.pinholes import from_kornia as from_kornia
from multiview_geom.conventions.pinholes import from_opengl as from_opengl
from multiview_geom.conventions.pinholes import from_pytorch3d as from_pytorch3d
from multiview_geom.conventions.colmap import to_colmap as to_colmap
from multiview_geom.conventions.pinholes import to_kornia as to_kornia
from multiview_geom.conventions.pinholes import to_opengl as to_opengl
from multiview_geom.conventions.pinholes import to_pytorch3d as to_pytorch3d
