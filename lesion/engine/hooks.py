"""The only file that registers hooks: on the module whose first input, output or attention mask is edited or read.

Hooks are taken off by their exact handles, also when the body raises. What happened is counted, and an edit that did
not act as it must is an error, never a silent number.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lesion.engine.attach import Attachment, Keys, Source, attachments
from lesion.engine.receipts import Recorder
from lesion.errors import InterventionError
from lesion.interventions.intervention import Intervention, Scale, Steer
from lesion.models.model import Model

Edit = Callable[[Tensor], Tensor]


class _Reached(Exception):
    """Leaves a forward pass with the stream that entered a block; nothing went wrong."""

    def __init__(self, stream: Tensor) -> None:
        super().__init__("stream")
        self.stream = stream


class Seen(NamedTuple):
    """What a module was given first and what it gave back, in the last forward pass."""

    input: Tensor
    output: Any


@contextmanager
def applied(
    model: Model,
    intervention: Intervention,
    mask: Bool[Tensor, "batch pos"],
    source: Source | None = None,
    keys: Keys | None = None,
    *,
    times: Int[Tensor, "batch pos"] | None = None,
    whole: bool = True,
) -> Generator[Recorder]:
    """Run the body with the intervention in place at the positions where `mask` holds.

    Args:
        model: the model.
        intervention: what is changed.
        mask: where; of a knock-out, its query positions.
        source: what is added or put in place, for interventions that need it.
        keys: a knock-out's key positions.
        times: for how many tokens each token stands, where it is read once for several; receipts count them all.
        whole: whether this is all that the intervention does, and not one step of many.

    Raises:
        InterventionError: for a site that the model does not have; after a body that ended well, also when the
            intervention did not act as it must, or a hook stayed on the model.
    """
    recorder = Recorder(intervention, 0, whole=whole)
    made = attachments(model, recorder, mask, source, keys, times)
    recorder.modules = sum(attachment.counts for attachment in made)
    with _standing(model, recorder) as handles:
        handles.append(model.module.register_forward_pre_hook(_counting(recorder)))
        for attachment in made:
            handles.append(_attached(attachment))
        yield recorder


@contextmanager
def held(model: Model, intervention: Intervention, source: Source | None = None) -> Generator[Recorder]:
    """Hold an intervention on the module while another program runs it, in as many forward passes as it likes.

    The program decides what is read, so only tokens and padding are known: the edit acts at every token that an
    attention mask does not call padding, in every pass, and one receipt counts them all.

    Args:
        model: the model.
        intervention: a scale, or a steer; at all positions.
        source: per site the vector that is added, (1, 1, width).

    Raises:
        InterventionError: for an intervention that needs to know more than that, before anything is run; in the body,
            for a pass that gives no tokens; after a body that ended well, when it did not act as it must.
    """
    if why := _unholdable(intervention, source):
        raise InterventionError(f"{intervention}: while another program runs the model, {why}")
    recorder = Recorder(intervention, 0)
    made = attachments(model, recorder, torch.ones(1, 1, dtype=torch.bool), source)
    recorder.modules = len([one for one in made if one.counts])
    now = list(made)

    def begin(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        recorder.forwards += 1
        now[:] = attachments(model, recorder, _tokens(intervention, args, kwargs), source)

    def following(place: int) -> Callable[[Any], Any]:
        def change(value: Any) -> Any:
            return now[place].change(value)

        return change

    with _standing(model, recorder) as handles:
        handles.append(model.module.register_forward_pre_hook(begin, with_kwargs=True))
        for place, one in enumerate(made):
            handles.append(_attached(one._replace(change=following(place))))
        yield recorder


@contextmanager
def _standing(model: Model, recorder: Recorder) -> Generator[list[RemovableHandle]]:
    """A list for the hooks of an intervention: all that is put in it is taken off again, whatever happens.

    Raises:
        InterventionError: after a body that ended well, when the intervention did not act as it must, or a hook stayed.
    """
    before, handles = hook_count(model.module), list[RemovableHandle]()
    try:
        yield handles
    finally:
        for handle in handles:
            handle.remove()
    recorder.receipt()
    if (stayed := hook_count(model.module) - before) > 0:
        told = f"{stayed} of its hooks stayed on the model and would edit later runs"
        raise InterventionError(f"{recorder.intervention}: {told}")


@contextmanager
def edited(module: nn.Module, edit: Edit) -> Generator[None]:
    """Run the body with `edit` on the first input of a module; for edits that differ from row to row."""
    handle = module.register_forward_pre_hook(_pre_hook(edit), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def replaced(changes: Mapping[nn.Module, Edit]) -> Generator[None]:
    """Run the body with a function on the output of each of some modules; the outputs are tensors."""
    handles: list[RemovableHandle] = []

    def through(change: Edit) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        return lambda _, __, output: change(output)

    try:
        for module, change in changes.items():
            handles.append(module.register_forward_hook(through(change)))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def recorded(model: Model, paths: Sequence[str]) -> Generator[Mapping[str, Seen]]:
    """Run the body and keep, per module path, copies of its first input and of its output."""
    seen: dict[str, Seen] = {}
    handles: list[Any] = []
    try:
        for path in paths:

            def keep(_: nn.Module, args: Any, kwargs: Any, output: Any, path: str = path) -> None:
                seen[path] = Seen(_first(args, kwargs).clone(), _copied(output))

            handles.append(model.submodule(path).register_forward_hook(keep, with_kwargs=True))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def watched(model: Model, watchers: Mapping[str, Callable[[Tensor, Any], None]]) -> Generator[None]:
    """Run the body and show, per module path, its first input and its output to a watcher, at once and uncopied."""
    handles: list[Any] = []
    try:
        for path, watch in watchers.items():

            def show(_: nn.Module, args: Any, kwargs: Any, output: Any, watch: Any = watch) -> None:
                watch(_first(args, kwargs), output)

            handles.append(model.submodule(path).register_forward_hook(show, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def block_arguments(model: Model, ids: Int[Tensor, "batch pos"]) -> list[dict[str, Any]]:
    """What the model hands to each block besides the stream, by name, in one forward pass."""
    given: list[dict[str, Any]] = []

    def keep(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        signature = inspect.signature(type(block).forward)
        bound = dict(signature.bind(block, *args, **kwargs).arguments)
        rest = [p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]
        named = {**bound, **(bound.pop(rest[0], {}) if rest else {})}
        given.append({name: value for name, value in named.items() if name not in ("self", "hidden_states", *rest)})

    def stop(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        raise _Reached(_first(args, kwargs))

    blocks = [model.block(layer) for layer in range(model.sizes.n_layers)]
    handles = [block.register_forward_pre_hook(keep, with_kwargs=True) for block in blocks]
    handles.append(blocks[-1].register_forward_pre_hook(stop, with_kwargs=True))
    try:
        with torch.inference_mode():
            model.module(ids, use_cache=False)
    except _Reached:  # the last block knows what it is handed; nothing above is of interest
        pass
    finally:
        for handle in handles:
            handle.remove()
    return given


def entering_stream(model: Model, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
    """The stream that enters block 0; nothing above it is run."""
    return _stream_before(model, 0, ids)


def leaving_stream(model: Model, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
    """The stream that leaves the last block; neither the final norm nor the unembedding is run."""
    return _stream_before(model, model.sizes.n_layers, ids)


def _stream_before(model: Model, layer: int, ids: Tensor) -> Tensor:
    def stop(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        raise _Reached(_first(args, kwargs))

    handle = model.block(layer).register_forward_pre_hook(stop, with_kwargs=True)
    try:
        with torch.inference_mode():
            model.module(ids, use_cache=False)
    except _Reached as reached:
        return reached.stream
    finally:
        handle.remove()
    raise InterventionError(f"{model.family.architecture} never ran '{model.block_path(layer)}'")


def hook_count(module: nn.Module) -> int:
    """How many forward hooks and pre-hooks the module and everything below it carry."""
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())  # pyright: ignore[reportPrivateUsage]


def _unholdable(intervention: Intervention, source: Source | None) -> str:
    """Why an intervention cannot act where nothing but tokens is known; empty where it can."""
    if not isinstance(intervention, Scale | Steer):
        return f"'{intervention.kind}' has no meaning: it needs items, twins or key positions; scale, zero or steer"
    if intervention.positions != "all":
        return f"'{intervention.positions}' has no meaning: prompt, roles and answer are not known; ask for all"
    if source is not None and any(tensor.shape[:2] != (1, 1) for tensor in source.values()):
        return "a source of its own for each row or position has no meaning; give one vector for all"
    return ""


def _tokens(intervention: Intervention, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Bool[Tensor, "batch pos"]:
    """Which places of a pass hold tokens: those that a mask of (rows, all positions so far) does not leave out."""
    ids, mask = (args[0] if args else kwargs.get("input_ids")), kwargs.get("attention_mask")
    if not torch.is_tensor(ids) or ids.ndim != 2:
        raise InterventionError(f"{intervention}: the program gave the model no token ids of shape (rows, positions)")
    if mask is None:
        return torch.ones(ids.shape, dtype=torch.bool, device=ids.device)
    if mask.ndim != 2 or mask.shape[0] != ids.shape[0] or mask.shape[1] < ids.shape[1]:
        shapes = f"{tuple(mask.shape)} for ids of {tuple(ids.shape)}"
        raise InterventionError(f"{intervention}: the attention mask {shapes} does not say which tokens are padding")
    return mask[:, -ids.shape[1] :].bool()


def _counting(recorder: Recorder) -> Callable[..., None]:
    def count(*_: Any) -> None:
        recorder.forwards += 1

    return count


def _attached(attachment: Attachment) -> Any:
    """Put one function on its module; the handle that takes it off."""
    module, side, change, _ = attachment
    if side == "input":
        return module.register_forward_pre_hook(_pre_hook(change), with_kwargs=True)
    if side == "mask":
        return module.register_forward_pre_hook(_mask_hook(change), with_kwargs=True)

    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        return change(output)

    return module.register_forward_hook(hook)


def _mask_hook(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """A hook that gives an attention module its arguments with the mask changed."""

    def hook(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if "attention_mask" not in kwargs:
            raise InterventionError(
                f"{type(module).__name__} is handed no attention_mask by name: its edges cannot be cut"
            )
        return args, {**kwargs, "attention_mask": change(kwargs["attention_mask"])}

    return hook


def _pre_hook(edit: Edit) -> Callable[..., Any]:
    """A hook that gives the module its arguments with the first one edited; blocks may get the stream by name."""

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (edit(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": edit(kwargs["hidden_states"])}

    return hook


def _first(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    return args[0] if args else kwargs["hidden_states"]


def _copied(value: Any) -> Any:
    """A copy that later in-place arithmetic of the model cannot reach."""
    if torch.is_tensor(value):
        return value.clone()
    return tuple(_copied(part) for part in value) if isinstance(value, tuple) else value
