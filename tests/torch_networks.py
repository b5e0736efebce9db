"""Small networks of PyTorch, and one that Keras has too, with the same weights."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `torch`")
nn = torch.nn

SIZE = 16


class Block(nn.Module):
    """A residual block that uses one activation, in place, twice."""

    def __init__(self, n):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(n, n, 3, padding=1), nn.Conv2d(n, n, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.conv2(self.relu(self.conv1(x))) + x)


class Residual(nn.Module):
    def __init__(self, ending=None):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.layer1 = nn.Sequential(Block(4), Block(4))
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 2)
        self.ending = ending or (lambda x: x)

    def forward(self, x):
        x = self.layer1(torch.relu(self.stem(x)))
        return self.ending(self.fc(self.pool(x).flatten(1)))


class Attention(nn.Module):
    """Attention by hand, as in many vision transformers."""

    def __init__(self, n, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(n, 3 * n), nn.Linear(n, n)
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        batch, n_tokens, n = x.shape
        q, k, v = self.qkv(x).reshape(batch, n_tokens, 3, self.heads, n // self.heads).permute(2, 0, 3, 1, 4)
        weights = self.drop((q @ k.transpose(-1, -2) * (n // self.heads) ** -0.5).softmax(-1))
        return self.proj((weights @ v).transpose(1, 2).reshape(batch, n_tokens, n))


class Encoder(nn.Module):
    def __init__(self, n, heads):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(n), Attention(n, heads)
        self.norm2, self.mlp = nn.LayerNorm(n), nn.Sequential(nn.Linear(n, 2 * n), nn.GELU(), nn.Linear(2 * n, n))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """A vision transformer with tokens in front, or with the mean of its tokens."""

    def __init__(self, in_front=1, n=8, depth=2, size=SIZE):
        super().__init__()
        self.patches = nn.Conv2d(3, n, 4, 4)
        self.front = nn.Parameter(torch.randn(1, in_front, n))
        self.where = nn.Parameter(torch.randn(1, in_front + (size // 4) ** 2, n))
        self.blocks = nn.Sequential(*(Encoder(n, 2) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(n), nn.Linear(n, 2)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = self.blocks(torch.cat([self.front.expand(x.shape[0], -1, -1), x], 1) + self.where)
        x = self.norm(x)
        return self.head(x[:, 0] if self.front.shape[1] else x.mean(1))


class OfTorch(nn.Module):
    """The same attention by PyTorch's own module."""

    def __init__(self, own):
        super().__init__()
        n = own.proj.in_features
        self.inner = nn.MultiheadAttention(n, own.heads, batch_first=True)
        self.inner.load_state_dict(
            {
                "in_proj_weight": own.qkv.weight,
                "in_proj_bias": own.qkv.bias,
                "out_proj.weight": own.proj.weight,
                "out_proj.bias": own.proj.bias,
            }
        )

    def forward(self, x):
        return self.inner(x, x, x, need_weights=False)[0]


class Fused(nn.Module):
    """The same attention in one step that writes no weights down."""

    def __init__(self, own):
        super().__init__()
        self.own = own

    def forward(self, x):
        batch, n_tokens, n = x.shape
        parts = self.own.qkv(x).reshape(batch, n_tokens, 3, self.own.heads, -1).permute(2, 0, 3, 1, 4)
        found = nn.functional.scaled_dot_product_attention(*parts)
        return self.own.proj(found.transpose(1, 2).reshape(batch, n_tokens, n))


class Swapped(nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(1)


class Windows(Transformer):
    """Attention within windows of four tokens."""

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = self.blocks(x.reshape(-1, 4, x.shape[-1])).reshape(x.shape)
        return self.head(self.norm(x).mean(1))


def weights_of_twins():
    """Return the weights of a small network in the order and the layout of Keras: two convolutions between them."""
    rng = np.random.default_rng(0)
    shapes = [(3, 3, 3, 4), (4,), (4,), (4,), (4,), (4,), (3, 3, 4, 6), (6,), (6, 2), (2,)]
    weights = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    # A variance.
    weights[5] = np.abs(weights[5])
    return weights


def twin_of_keras(size=SIZE):
    """Return the network in Keras; it reads display space."""
    from facelime_cli.models.backend import keras

    k = keras()
    found = k.Sequential(
        [
            k.Input((size, size, 3)),
            k.layers.Rescaling(1 / 255, name="input_scaling"),
            k.layers.Conv2D(4, 3, padding="same", name="first"),
            k.layers.BatchNormalization(epsilon=1e-5),
            k.layers.ReLU(),
            k.layers.MaxPooling2D(2),
            k.layers.Conv2D(6, 3, name="second"),
            k.layers.ReLU(name="last"),
            k.layers.GlobalAveragePooling2D(),
            k.layers.Dense(2, activation="softmax"),
        ]
    )
    found.set_weights(weights_of_twins())
    return found


def twin():
    """Return the same network in PyTorch; it reads pictures of 0 to 1, channels first."""
    found = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 2),
        nn.Softmax(1),
    )
    names = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "4.weight", "4.bias"]
    values = map(torch.from_numpy, weights_of_twins())
    state = dict(zip([*names, "8.weight", "8.bias"], values, strict=True))
    for name in ("0.weight", "4.weight"):
        state[name] = state[name].permute(3, 2, 0, 1)
    state["8.weight"] = state["8.weight"].T
    found.load_state_dict(state, strict=False)
    return found.eval()


def transformer(size=SIZE):
    """Return a vision transformer with a class token, always with the same weights."""
    torch.manual_seed(0)
    return Transformer(size=size)


def of_one_value():
    """Return a network that answers with one number, such as an age, always with the same weights."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 1)).eval()
