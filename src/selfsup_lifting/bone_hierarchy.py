"""The hierarchy of a skeleton: one tree from the pelvis outward, whatever the skeleton."""

from collections.abc import Sequence
from dataclasses import dataclass

from selfsup_lifting.skeleton.skeletons import Skeleton

HIPS, SHOULDERS = ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")
# Joints of the trunk from which the arms may hang, best first.
TRUNKS = ("neck", "thorax", "upper_neck")
# The names of nodes that a skeleton lacks: the middle of the hips, and that of the shoulders.
MIDDLE_OF_HIPS, MIDDLE_OF_SHOULDERS = "pelvis", "neck"

Link = tuple[str, str]


@dataclass(frozen=True)
class Node:
    """A joint of the hierarchy.

    Attributes:
        name: Its name.
        parent: The index of its parent; -1 for the root, which is the first.
        joints: The joints of the skeleton whose mean is its position.
    """

    name: str
    parent: int
    joints: tuple[int, ...]


def hierarchy(skeleton: Skeleton) -> tuple[Node, ...]:
    """Arrange the joints of a skeleton as one tree, parents before children, depth first.

    Args:
        skeleton: Any skeleton; its bones may form several trees with any roots.

    Returns:
        The nodes. The root is the joint of the pelvis, or else the middle of the hips. Arms hang
        from the neck, or from the middle of the shoulders if the skeleton connects them with the
        hips. What no bone connects with the rest hangs from the neck, or from the root.
    """
    members: dict[str, tuple[int, ...]] = {name: (at,) for at, name in enumerate(skeleton.joints)}
    root = skeleton.joints[skeleton.root[0]]
    if len(skeleton.root) > 1:
        root = MIDDLE_OF_HIPS if MIDDLE_OF_HIPS not in members else "root"
        members[root] = skeleton.root
    links = [(skeleton.joints[one], skeleton.joints[other]) for one, other in skeleton.bones]
    links = _legs(skeleton, root, links)
    trunk = next((name for name in TRUNKS if name in members), root)
    if set(SHOULDERS) <= members.keys():
        if trunk == root:
            trunk = MIDDLE_OF_SHOULDERS
            members[trunk] = tuple(map(skeleton.joints.index, SHOULDERS))
        links = _arms(trunk, links)
    return _tree(root, members, _connected(root, trunk, [*members], links))


def _legs(skeleton: Skeleton, root: str, links: Sequence[Link]) -> list[Link]:
    """Let the legs begin at the root, and not at each other."""
    roots = {skeleton.joints[at] for at in skeleton.root} | {*HIPS} & {*skeleton.joints}
    kept = [link for link in links if not set(link) <= roots]
    return [*kept, *((root, name) for name in skeleton.joints if name in roots - {root})]


def _arms(trunk: str, links: Sequence[Link]) -> list[Link]:
    """Let arms that begin at the hips begin at the trunk; a hip carries no trunk."""
    from_hips = [link for link in links if {*HIPS} & {*link} and {*SHOULDERS, trunk} & {*link}]
    kept = [link for link in links if link not in from_hips]
    hanging = [side for side in SHOULDERS if any(side in link for link in from_hips)]
    return [*kept, *((trunk, side) for side in hanging)]


def _connected(root: str, trunk: str, names: Sequence[str], links: list[Link]) -> list[Link]:
    """Add links from the trunk, or to it from the root, until the root reaches every node."""
    for name in (trunk, *names):
        if name not in _reached(root, links):
            links = [*links, (root if name == trunk else trunk, name)]
    return links


def _reached(root: str, links: Sequence[Link]) -> set[str]:
    reached, waiting = {root}, [root]
    while waiting:
        new = {*_neighbors(waiting.pop(), links)} - reached
        reached |= new
        waiting += new
    return reached


def _neighbors(name: str, links: Sequence[Link]) -> list[str]:
    return [other for link in links if name in link for other in link if other != name]


def _tree(
    root: str, members: dict[str, tuple[int, ...]], links: Sequence[Link]
) -> tuple[Node, ...]:
    nodes: list[Node] = []
    places: dict[str, int] = {}
    waiting = [(root, -1)]
    while waiting:
        name, parent = waiting.pop()
        if name not in places:
            places[name] = len(nodes)
            nodes.append(Node(name, parent, members[name]))
            around = [one for one in _neighbors(name, links) if one not in places]
            waiting += [(one, places[name]) for one in reversed(around)]
    return tuple(nodes)
