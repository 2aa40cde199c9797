"""Operations by what they do with values on their way through a net: the words in which rules are given.

Names are those of :func:`cutaway.look.calls.function_name`: ``relu`` is ``torch.relu``, ``F.relu``,
``x.relu_()`` and what ``nn.ReLU`` calls; ``add`` is also ``x + y`` and ``x += y``.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


MOVES = _names(
    "view view_as reshape reshape_as flatten unflatten ravel squeeze unsqueeze permute transpose t swapaxes "
    "swapdims movedim moveaxis contiguous clone to type type_as float double half bfloat16 cpu cuda chunk "
    "split tensor_split unbind narrow select index_select take_along_dim gather getitem setitem cat concat "
    "concatenate stack hstack vstack dstack expand expand_as broadcast_to repeat repeat_interleave tile flip "
    "fliplr flipud roll rot90 pad pixel_shuffle pixel_unshuffle channel_shuffle unfold diagonal get copy "
    "requires_grad alias dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout "
    "feature_alpha_dropout identity masked_fill where detach"
)
"""Numbers go where they went; none is changed. (Dropout does nothing while nobody trains.)"""

WEIGHTED = _names(
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear matmul mm rmatmul"
)
"""Sums of inputs times weights."""

AVERAGES = _names(
    "avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d mean sum "
    "interpolate upsample upsample_nearest upsample_bilinear"
)
"""Sums of inputs times numbers that nobody learns."""

MAXIMA = _names(
    "max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices "
    "max_pool3d_with_indices adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d "
    "adaptive_max_pool2d_with_indices amax max"
)
"""One of the inputs, chosen by its size."""

ARITHMETIC = _names("add sub mul div neg negative positive pos")
"""Of two values, or of a value and a constant."""

NORMS = _names("batch_norm")
"""A scale and a shift for each channel, in evaluation mode."""

LOCAL_NORMS = _names("local_response_norm layer_norm group_norm instance_norm rms_norm normalize")
"""Division by something that is computed from the values themselves."""

RECTIFIERS = _names("relu relu6")

ACTIVATIONS = RECTIFIERS | _names(
    "leaky_relu prelu rrelu elu selu celu gelu silu mish tanh sigmoid hardtanh hardswish hardsigmoid "
    "softplus softsign logsigmoid tanhshrink softshrink hardshrink threshold clamp clamp_min clamp_max clip"
)
"""Functions of each number by itself."""
