# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A second device for torch that needs no hardware: what mixes it with the CPU fails, as it does
with a GPU.

Its tensors compute on the CPU, to the bit. It knows no kernels of its own, so that nothing is said
about those of a GPU.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map

from depthlm_ros.engines.local import engine as local
from depthlm_ros.models import loading, memory

NAME = "second"
COPY = "copy_"  # may go from one device to the other


def is_possible() -> bool:
    """Whether this torch lets Python define a device."""
    return hasattr(backend_registration, "_setup_privateuseone_for_python_backend")


@contextmanager
def second_device() -> Iterator[Callable[[torch.nn.Module], torch.nn.Module]]:
    """Inside, torch has the device; gives what moves a module there. Modules that are told to
    move go there too."""
    if not hasattr(torch, NAME):
        backend_registration._setup_privateuseone_for_python_backend(NAME)

    def moved(module: torch.nn.Module, *_: object, **__: object) -> torch.nn.Module:
        for part in module.modules():
            for name, one in part._parameters.items():
                if one is not None and not isinstance(one, Elsewhere):
                    there = torch.nn.Parameter(Elsewhere(one.data), requires_grad=False)
                    part._parameters[name] = there
            for name, one in part._buffers.items():
                if one is not None and not isinstance(one, Elsewhere):
                    with torch.inference_mode():  # as what is sliced out of it is
                        part._buffers[name] = Elsewhere(one)
        return module

    with (
        mock.patch.object(torch.nn.Module, "to", moved),
        mock.patch.object(torch, "autocast", lambda *_, **__: nullcontext()),
        _Directed(),
    ):
        yield moved


@contextmanager
def engine_elsewhere(checkpoint, **options) -> Iterator[local.LocalEngine]:
    """A LocalEngine whose model is on the second device."""
    loaded = loading.load(checkpoint, "cpu", "float32")
    with (
        mock.patch.object(local, "join_products"),  # of views, which cannot be moved
        mock.patch.object(memory, "_shares", lambda device: False),
        second_device() as moved,
    ):
        moved(loaded.model)
        yield local.LocalEngine(loaded, **options)


class Elsewhere(torch.Tensor):
    """A tensor on the second device. here: the same on the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, here):
        """As the tensor on the CPU, its strides included."""
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            here.shape,
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=torch.device(NAME, 0),
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), named=None):
        """Compute on the CPU what is asked of tensors that are all on the second device."""
        named = dict(named or {})
        given = [t for t in tree_leaves((arguments, named)) if isinstance(t, torch.Tensor)]
        name = function.overloadpacket.__name__
        strangers = [t for t in given if not isinstance(t, cls) and t.dim()]
        if strangers and name != COPY:
            shapes = [tuple(t.shape) for t in strangers]
            raise RuntimeError(f"{name} mixes {NAME} with tensors of the CPU, shapes {shapes}")
        given_as = {id(_here(t)): t for t in given}  # what works in place gives it back
        if "device" in named:
            named["device"] = torch.device("cpu")
        found = function(*tree_map(_here, arguments), **tree_map(_here, named))
        return tree_map(lambda one: given_as.get(id(one), _there(one)), found)


class _Directed(TorchFunctionMode):
    """Sends what is made on the second device, or goes there and back, the right way."""

    def __torch_function__(self, function, types, arguments=(), named=None):
        named, name = dict(named or {}), getattr(function, "__name__", "")
        first = arguments[0] if arguments else None
        if name == "to":
            return _sent(*arguments, **named)
        if isinstance(first, Elsewhere) and name in ("cpu", "numpy", "tolist"):
            if name == "numpy" and not named.get("force"):
                raise TypeError(f"numpy() of a tensor on {NAME}")
            return getattr(first.here.detach(), name)()
        if _is_second(named.get("device")):
            del named["device"]
            return _there(function(*arguments, **named))
        return function(*arguments, **named)


def _sent(tensor, *where, non_blocking=False, copy=False, device=None, dtype=None):
    """torch.Tensor.to, between the two devices."""
    for one in where:
        if isinstance(one, torch.dtype):
            dtype = one
        elif isinstance(one, torch.Tensor):
            device, dtype = one.device, one.dtype
        else:
            device = one
    was_there = isinstance(tensor, Elsewhere)
    goes_there = was_there if device is None else _is_second(device)
    if goes_there == was_there and dtype in (None, tensor.dtype) and not copy:
        return tensor
    made = _here(tensor).to(dtype=dtype or tensor.dtype, copy=True)
    return Elsewhere(made) if goes_there else made


def _is_second(device) -> bool:
    return device is not None and torch.device(device).type == NAME


def _here(one):
    return one.here if isinstance(one, Elsewhere) else one


def _there(one):
    is_here = isinstance(one, torch.Tensor) and not isinstance(one, Elsewhere)
    return Elsewhere(one) if is_here else one
