"""The names of joints in exported files."""

from collections.abc import Mapping, Sequence
from enum import Enum

# Joints whose name in Pose2Sim's marker sets does not follow from ours.
_POSE2SIM = {"upper_neck": "Neck", "neck": "Neck", "head_top": "Head", "pelvis": "CHip"}
# Of this skeleton, the root is called differently there.
_POSE2SIM_HALPE26 = {"pelvis": "Hip"}


class MarkerNames(Enum):
    """Which names the joints have in exported files."""

    STANDARD = "standard"
    ORIGINAL = "original"
    POSE2SIM = "pose2sim"


def marker_names(
    joints: Sequence[str],
    names: MarkerNames,
    *,
    skeleton: str = "",
    original: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Return the names of joints in an exported file.

    Args:
        joints: Our names of the joints.
        names: Which names to return.
        skeleton: The name of the skeleton; Pose2Sim's name of the pelvis depends on it.
        original: The name of each joint in the files that were read. A joint that is not in it
            keeps its own name.

    Example:
        >>> marker_names(("left_big_toe", "upper_neck"), MarkerNames.POSE2SIM)
        ('LBigToe', 'Neck')
        >>> marker_names(("left_hip",), MarkerNames.ORIGINAL, original={"left_hip": "L_Hip"})
        ('L_Hip',)
    """
    if names is MarkerNames.ORIGINAL:
        return tuple((original or {}).get(joint, joint) for joint in joints)
    if names is MarkerNames.POSE2SIM:
        special = _POSE2SIM | (_POSE2SIM_HALPE26 if skeleton == "halpe26" else {})
        return tuple(special.get(joint) or _with_initial_of_side(joint) for joint in joints)
    return tuple(joints)


def _with_initial_of_side(joint: str) -> str:
    """Write `left_big_toe` as `LBigToe`."""
    first, *others = joint.split("_")
    side = first[0].upper() if others and first in {"left", "right"} else first.capitalize()
    return side + "".join(word.capitalize() for word in others)
