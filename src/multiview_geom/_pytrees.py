"""Dataclasses of tensors as PyTorch containers: `tree_map`, `vmap` and collation look inside."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from torch.utils import _pytree as pytree
from torch.utils.data._utils.collate import collate, default_collate_fn_map


def register_pytree(cls: type, *, static: Sequence[str] = ()) -> None:
    """Make a dataclass a container of its tensors.

    Args:
        cls: A dataclass whose fields are tensors, or None, which is left out.
        static: The fields that are no tensors: they must be equal where containers are combined.
    """
    names = [field.name for field in fields(cls) if field.name not in static]

    def flatten(value: Any) -> tuple[list[Any], Any]:  # noqa: ANN401 - any registered class
        present = tuple(name for name in names if getattr(value, name) is not None)
        constants = tuple(getattr(value, name) for name in static)
        return [getattr(value, name) for name in present], (present, constants)

    def unflatten(leaves: Any, context: Any) -> Any:  # noqa: ANN401 - leaves may be anything
        present, constants = context
        # Without the class's checks: `tree_map` may put anything in the place of a tensor.
        value: object = object.__new__(cls)
        absent = dict.fromkeys(names)
        filled = dict(zip(present, leaves, strict=True)) | dict(zip(static, constants, strict=True))
        for name, content in (absent | filled).items():
            object.__setattr__(value, name, content)
        return value

    pytree.register_pytree_node(
        cls, flatten, unflatten, serialized_type_name=f"{cls.__module__}.{cls.__qualname__}"
    )
    default_collate_fn_map[cls] = _collate


def _collate(
    batch: Sequence[Any],
    *,
    collate_fn_map: dict[type | tuple[type, ...], Callable[..., Any]] | None = None,
) -> Any:  # noqa: ANN401 - one of the batch's own class
    return pytree.tree_map(
        lambda *leaves: collate(leaves, collate_fn_map=collate_fn_map), batch[0], *batch[1:]
    )
