"""A second device on a machine that has none: tensors that lie on the CPU and stand for a GPU's.

    with FakeDevice() as device:
        module.to(DEVICE)
        loss = module(batch.to(DEVICE))
        loss.backward()
    device.mixed, device.waits, device.copies, device.launches

Which storage stands on the device is remembered beside it, so that views, gradients and optimiser
states are known wherever they come from. Two modes work together: one sees PyTorch's functions (it
answers `.device`, moves tensors and takes `device=`), the other each operation that they come to,
in backward passes and optimisers too, and asks whether a GPU could have run it.
"""

import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("cuda:0")
CPU = torch.device("cpu")
aten = torch.ops.aten

WAITS = {
    aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten.is_nonzero,
    aten._unique2, aten.unique_dim, aten.unique_consecutive, aten.bincount,
}  # fmt: skip
"""Operations whose result's size or value the host has to know: it waits until they have run."""
READS = {"tolist", "numpy", "__array__"}
"""Functions that read a tensor's memory without any operation."""
COPIES = {aten.copy_, aten._to_copy}
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
JOINS = {aten.cat, aten.stack}
"""These take a number's tensor of the CPU no better than any other."""


class FakeDevice:
    """While it is open, counts what a GPU would refuse, what the host waits for, and launches."""

    def __init__(self) -> None:
        self.mixed: Counter[str] = Counter()
        """Operations with tensors of both devices, by where they were called."""
        self.waits: Counter[str] = Counter()
        """Times that the host waits for the device."""
        self.copies: Counter[str] = Counter()
        """Tensors that are copied to the device; without pinned memory the host waits for these."""
        self.launches = 0
        """Operations of the device that are no views."""
        self.makes = CPU
        """Where an operation without any tensor makes its result."""
        self._held: set[int] = set()
        self._modes = (_Operations(self), _Functions(self))

    def __enter__(self) -> "FakeDevice":
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)

    def place(self, tensor: Tensor) -> None:
        """The tensor, and all that share its memory, stand on the device from now on."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._held:
            self._held.add(storage._cdata)
            weakref.finalize(storage, self._held.discard, storage._cdata)

    def forget(self) -> None:
        """Counts anew; what would be refused stays noted."""
        self.waits.clear()
        self.copies.clear()
        self.launches = 0

    def holds(self, tensor: Tensor) -> bool:
        """Whether it stands on the device."""
        return tensor.untyped_storage()._cdata in self._held

    def check(self, function: Any, tensors: list[Tensor], args: Any, kwargs: Any) -> None:
        """Notes an operation of the device that a GPU refuses, or makes the host wait for."""
        packet = function.overloadpacket
        if packet in WAITS or _picks_by_mask(packet, args, self):
            note(self.waits, packet.__name__)
        elif packet is aten.repeat_interleave and kwargs.get("output_size") is None:
            note(self.waits, "repeat_interleave")
        if packet in COPIES:
            return
        others = [x for x in tensors if not self.holds(x) and (x.dim() or packet in JOINS)]
        if packet in INDEXED and self.holds(args[0]):
            # Indices may lie on the CPU: they are copied, and the host waits.
            indices = [x for x in args[1] if isinstance(x, Tensor) and not self.holds(x)]
            note(self.copies, "index", len(indices))
            others = [x for x in others if all(x is not index for index in indices)]
        if others:
            shapes = ", ".join(str(tuple(x.shape)) for x in others)
            note(self.mixed, f"{packet.__name__} of {shapes} on the CPU")


def _picks_by_mask(packet: Any, args: Any, device: FakeDevice) -> bool:
    if packet not in INDEXED:
        return False
    masks = [x for x in args[1] if isinstance(x, Tensor) and x.dtype in (torch.bool, torch.uint8)]
    # One number written where a mask says so is filled in; anything else is counted first.
    fills = packet is not aten.index and args[2].dim() == 0
    return any(device.holds(mask) for mask in masks) and not fills


class _Operations(TorchDispatchMode):
    def __init__(self, device: FakeDevice) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        tensors = [*iterate_tensors((args, kwargs))]
        on_device = any(self.device.holds(x) for x in tensors)
        if on_device:
            self.device.check(function, tensors, args, kwargs or {})
            self.device.launches += not function.is_view
        result = function(*args, **(kwargs or {}))
        if on_device or (not tensors and self.device.makes == DEVICE):
            for x in iterate_tensors(result):
                # What is written in place stays where it is.
                if all(x is not each for each in tensors):
                    self.device.place(x)
        return result


class _Functions(TorchFunctionMode):
    def __init__(self, device: FakeDevice) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(function, "__name__", "")
        on_device = any(self.device.holds(x) for x in iterate_tensors((args, kwargs)))
        if name == "__get__":
            return self.read_attribute(function, args, on_device)
        if name in ("to", "cpu", "cuda"):
            return self.move(function, name, args, kwargs)
        if name in READS and on_device:
            note(self.device.waits, name)
        makes = DEVICE if on_device else CPU
        if kwargs.get("device") is not None:
            makes = torch.device(kwargs["device"])
            kwargs["device"] = CPU
        with self.make_on(makes):
            result = function(*args, **kwargs)
        if makes == DEVICE and not on_device:
            # A factory; of numbers or of another array they are copied.
            note(self.device.copies, name, int(name in COPYING))
            self.place_all(result)
        if name == "new_tensor" and on_device:
            note(self.device.copies, name)
        return result

    def read_attribute(self, function: Any, args: Any, on_device: bool) -> Any:
        """`.device` and its kind, as a tensor of the device answers."""
        attribute = getattr(getattr(function, "__self__", None), "__name__", "")
        answers = {"device": DEVICE, "is_cuda": True, "is_cpu": False}
        return answers[attribute] if on_device and attribute in answers else function(*args)

    def move(self, function: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        """`Tensor.to` and its kin: a copy where the device changes."""
        source, *rest = args
        held = self.device.holds(source)
        target = {"cpu": CPU, "cuda": DEVICE}.get(name)
        if name == "to":
            for index, given in enumerate(rest):
                if isinstance(given, Tensor):
                    target = DEVICE if self.device.holds(given) else CPU
                elif isinstance(given, torch.device | str | int) and not isinstance(given, bool):
                    target, rest[index] = torch.device(given), CPU
            if kwargs.get("device") is not None:
                target, kwargs["device"] = torch.device(kwargs["device"]), CPU
        stays = target is None or (target.type == "cuda") == held
        moved = source if name == "cuda" else function(source, *rest, **kwargs)
        if stays:
            return moved
        # A copy of its own, which the memory of neither device knows yet.
        copy = moved.detach().clone().requires_grad_(moved.requires_grad and moved.is_leaf)
        copy = moved.clone() if moved.requires_grad else copy
        if held:
            note(self.device.waits, name)
            self.device._held.discard(copy.untyped_storage()._cdata)
        else:
            note(self.device.copies, name)
            self.device.place(copy)
        return copy

    def place_all(self, result: Any) -> None:
        """Whatever tensors a function has made."""
        for x in iterate_tensors(result):
            self.device.place(x)

    @contextmanager
    def make_on(self, makes: torch.device) -> Iterator[None]:
        """Operations without a tensor make theirs there, until the function ends."""
        before, self.device.makes = self.device.makes, makes
        try:
            yield
        finally:
            self.device.makes = before


COPYING = {"tensor", "as_tensor", "asarray", "from_numpy"}
"""Factories that copy what they are given."""


def iterate_tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in arguments or results of an operation; PyTorch's own walk takes ten times."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from iterate_tensors(each)
    elif isinstance(value, dict):
        yield from iterate_tensors([*value.values()])


def run_backward(loss: Tensor) -> None:
    """`loss.backward()`, with layers that are computed again on the device as the first time.

    A mode is closed while a function that it sees runs, and `backward` is one.
    """
    torch.autograd.graph._engine_run_backward(
        (loss,), (torch.ones_like(loss),), False, False, (),
        allow_unreachable=True, accumulate_grad=True,
    )  # fmt: skip


def note(counter: Counter[str], what: str, times: int = 1) -> None:
    """Counts it, by the line that called."""
    if times:
        counter[f"{what} @ {find_caller()}"] += times


def find_caller() -> str:
    """The line of the package, or of a library above torch, that called."""
    caller, frame = None, sys._getframe()
    # Frame by frame: `traceback.extract_stack` reads the source of every one.
    while frame is not None:
        name = frame.f_code.co_filename
        if "/torch/" not in name and name != __file__:
            caller = caller or frame
            if "/kvdistill/" in name:
                caller = frame
                break
        frame = frame.f_back
    assert caller is not None
    return f"{'/'.join(caller.f_code.co_filename.rsplit('/', 2)[1:])}:{caller.f_lineno}"


@contextmanager
def autocast_as_cpu() -> Iterator[None]:
    """Autocast of a GPU that is not there is autocast of the CPU."""
    real: Callable[..., Any] = torch.autocast

    class Autocast(real):  # type: ignore[misc, valid-type]
        def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
            super().__init__("cpu", *args, **kwargs)

    torch.autocast = Autocast  # type: ignore[misc]
    try:
        yield
    finally:
        torch.autocast = real  # type: ignore[misc]
