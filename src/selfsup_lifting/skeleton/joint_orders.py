"""The joint orders of datasets and detectors as trees.

A tree lists the joints in the order of the data, each with its parent after a `<`. "neck" is the
point between the shoulders and "upper_neck" the one below the skull; detectors call both "Neck".
"""

from collections.abc import Mapping

_FACE = "nose left_eye<nose right_eye<nose left_ear<left_eye right_ear<right_eye"
_LIMBS = """
    left_shoulder<left_hip right_shoulder<right_hip left_elbow<left_shoulder
    right_elbow<right_shoulder left_wrist<left_elbow right_wrist<right_elbow
    left_hip right_hip<left_hip left_knee<left_hip right_knee<right_hip
    left_ankle<left_knee right_ankle<right_knee
"""
_OPENPOSE_ARMS = """
    right_shoulder<neck right_elbow<right_shoulder right_wrist<right_elbow
    left_shoulder<neck left_elbow<left_shoulder left_wrist<left_elbow
"""
_OPENPOSE_FACE = "right_eye<nose left_eye<nose right_ear<right_eye left_ear<left_eye"
_OPENPOSE_FEET = """
    left_big_toe<left_ankle left_small_toe<left_big_toe left_heel<left_ankle
    right_big_toe<right_ankle right_small_toe<right_big_toe right_heel<right_ankle
"""

JOINT_ORDERS: Mapping[str, str] = {
    "h36m17": """
        pelvis right_hip<pelvis right_knee<right_hip right_ankle<right_knee left_hip<pelvis
        left_knee<left_hip left_ankle<left_knee spine<pelvis thorax<spine nose<thorax
        head_top<nose left_shoulder<thorax left_elbow<left_shoulder left_wrist<left_elbow
        right_shoulder<thorax right_elbow<right_shoulder right_wrist<right_elbow
    """,
    "coco17": f"{_FACE} {_LIMBS}",
    "coco18": f"""
        nose<neck neck {_OPENPOSE_ARMS} right_hip<neck right_knee<right_hip right_ankle<right_knee
        left_hip<neck left_knee<left_hip left_ankle<left_knee {_OPENPOSE_FACE}
    """,
    "body25": f"""
        nose<neck neck<pelvis {_OPENPOSE_ARMS} pelvis right_hip<pelvis right_knee<right_hip
        right_ankle<right_knee left_hip<pelvis left_knee<left_hip left_ankle<left_knee
        {_OPENPOSE_FACE} {_OPENPOSE_FEET}
    """,
    "body25b": f"{_FACE} {_LIMBS} upper_neck head_top<upper_neck {_OPENPOSE_FEET}",
    # What Pose2Sim triangulates of BODY_25B, in the order of its TRC files: no eyes, no ears.
    "pose2sim21": """
        right_hip right_knee<right_hip right_ankle<right_knee right_big_toe<right_ankle
        right_small_toe<right_big_toe right_heel<right_ankle left_hip<right_hip left_knee<left_hip
        left_ankle<left_knee left_big_toe<left_ankle left_small_toe<left_big_toe
        left_heel<left_ankle upper_neck<right_hip head_top<upper_neck nose<upper_neck
        right_shoulder<upper_neck right_elbow<right_shoulder right_wrist<right_elbow
        left_shoulder<upper_neck left_elbow<left_shoulder left_wrist<left_elbow
    """,
    "halpe26": f"""
        {_FACE} {_LIMBS} head_top<neck neck<pelvis pelvis left_big_toe<left_ankle
        right_big_toe<right_ankle left_small_toe<left_big_toe right_small_toe<right_big_toe
        left_heel<left_ankle right_heel<right_ankle
    """,
    # MediaPipe's pose landmarks.
    "blazepose33": """
        nose left_eye_inner<nose left_eye<left_eye_inner left_eye_outer<left_eye
        right_eye_inner<nose right_eye<right_eye_inner right_eye_outer<right_eye
        left_ear<left_eye_outer right_ear<right_eye_outer left_mouth<nose right_mouth<nose
        left_shoulder<left_hip right_shoulder<right_hip left_elbow<left_shoulder
        right_elbow<right_shoulder left_wrist<left_elbow right_wrist<right_elbow
        left_pinky<left_wrist right_pinky<right_wrist left_index<left_wrist
        right_index<right_wrist left_thumb<left_wrist right_thumb<right_wrist
        left_hip right_hip<left_hip left_knee<left_hip right_knee<right_hip
        left_ankle<left_knee right_ankle<right_knee left_heel<left_ankle right_heel<right_ankle
        left_foot_index<left_ankle right_foot_index<right_ankle
    """,
    "mpii16": """
        right_ankle<right_knee right_knee<right_hip right_hip<pelvis left_hip<pelvis
        left_knee<left_hip left_ankle<left_knee pelvis thorax<pelvis upper_neck<thorax
        head_top<upper_neck right_wrist<right_elbow right_elbow<right_shoulder
        right_shoulder<thorax left_shoulder<thorax left_elbow<left_shoulder left_wrist<left_elbow
    """,
    "mpi_inf_3dhp17": """
        head_top<head neck<spine right_shoulder<neck right_elbow<right_shoulder
        right_wrist<right_elbow left_shoulder<neck left_elbow<left_shoulder left_wrist<left_elbow
        right_hip<pelvis right_knee<right_hip right_ankle<right_knee left_hip<pelvis
        left_knee<left_hip left_ankle<left_knee pelvis spine<pelvis head<neck
    """,
    "humaneva15": """
        pelvis thorax<pelvis left_shoulder<thorax left_elbow<left_shoulder left_wrist<left_elbow
        right_shoulder<thorax right_elbow<right_shoulder right_wrist<right_elbow left_hip<pelvis
        left_knee<left_hip left_ankle<left_knee right_hip<pelvis right_knee<right_hip
        right_ankle<right_knee head<thorax
    """,
}
