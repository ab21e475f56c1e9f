"""A key-value cache that grows in place: used by `decoding.py`.

transformers' dynamic cache makes a new tensor of all keys and values for every token of every layer; with a small
model and a large batch that copying is the largest part of the work. Here a layer keeps room for the tokens to come.
"""

from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

# Tokens of room made at a time: few copies, little memory in vain.
_ROOM = 64


class RoomyLayer(DynamicLayer):
    """A dynamic layer whose keys and values are views of larger tensors [rows, heads, length + room, width]."""

    keys: torch.Tensor
    values: torch.Tensor
    _key_room: torch.Tensor | None = None
    _value_room: torch.Tensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append; returns all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys, self._key_room = _append(self.keys, self._key_room, key_states)
        self.values, self._value_room = _append(self.values, self._value_room, value_states)
        return self.keys, self.values


def make_room(cache: Any) -> None:
    """Exchange plain dynamic layers for roomy ones; other kinds (sliding, recurrent) stay as they are."""
    for index, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            roomy = RoomyLayer()  # type: ignore[no-untyped-call]
            roomy.lazy_initialization(layer.keys, layer.values)
            roomy.keys, roomy.values = layer.keys, layer.values
            cache.layers[index] = roomy


def _append(
    held: torch.Tensor, room: torch.Tensor | None, added: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    length = held.shape[-2] if held.numel() else 0
    end = length + added.shape[-2]
    # Repeating or leaving rows gives `held` a memory of its own, and the room is no longer behind it.
    if room is None or room.data_ptr() != held.data_ptr() or room.shape[-2] < end or not length:
        room = added.new_empty(*added.shape[:-2], end + _ROOM, added.shape[-1])
        if length:
            room[..., :length, :] = held
    room[..., length:end, :] = added
    return room[..., :end, :], room
