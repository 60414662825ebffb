"""The `glm4v` graph in plain torch, batched over images of one size, with the published tensor names.

Written anew because transformers runs each image of a batch apart, which is slow on a CPU. `export.py`
checks that both give the same logits.
"""
import torch
import torch.nn.functional as F
from torch import nn

VISION = dict(depth=4, hidden_size=256, num_heads=4, out_hidden_size=256, intermediate_size=512, image_size=240, patch_size=10,
              spatial_merge_size=2, temporal_patch_size=2, in_channels=3, rms_norm_eps=1e-5, hidden_act="silu", attention_bias=False,
              attention_dropout=0.0, initializer_range=0.02, model_type="glm4v_vision")
TEXT = dict(hidden_size=256, intermediate_size=640, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=4096, rms_norm_eps=1e-5, hidden_act="silu", rope_theta=10000.0, partial_rotary_factor=0.5,
            rope_scaling={"rope_type": "default", "mrope_section": [4, 6, 6]}, attention_dropout=0.0, use_cache=True, model_type="glm4v_text")


def rms_norm(width):
    return nn.RMSNorm(width, eps=1e-5)


class VisionBlock(nn.Module):
    def __init__(self):
        super().__init__()
        c = VISION["hidden_size"]
        self.norm1, self.norm2 = rms_norm(c), rms_norm(c)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(c, 3 * c, bias=False), "proj": nn.Linear(c, c, bias=False)})
        inner = VISION["out_hidden_size"]
        self.mlp = nn.ModuleDict({"gate_proj": nn.Linear(c, inner, bias=False), "up_proj": nn.Linear(c, inner, bias=False), "down_proj": nn.Linear(inner, c, bias=False)})

    def forward(self, x, cos, sin):
        b, n, c = x.shape
        heads = VISION["num_heads"]
        q, k, v = self.attn["qkv"](self.norm1(x)).view(b, n, 3, heads, c // heads).permute(2, 0, 3, 1, 4)  # (b, heads, n, d)
        q, k = _rotate_halves(q, cos, sin), _rotate_halves(k, cos, sin)
        x = x + self.attn["proj"](attention(q, k, v)[0].transpose(1, 2).reshape(b, n, c))
        h = self.norm2(x)
        return x + self.mlp["down_proj"](F.silu(self.mlp["gate_proj"](h)) * self.mlp["up_proj"](h))


def attention(q, k, v, hidden=None):
    """What is attended to and how much; `hidden` `(batch, 1, n, n)` is true where nothing is to be seen.

    Written out: torch's own for the CPU has a backward pass several times slower than these products.
    """
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5  # (batch, heads, n, n)
    if hidden is not None:
        scores = scores.masked_fill(hidden, -torch.inf)
    shares = scores.softmax(-1)
    return shares.to(v.dtype) @ v, shares


def _rotate_halves(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


class Tower(nn.Module):
    """Patches `(batch, patches, 600)` of images with the same grid to features and visual tokens."""

    def __init__(self):
        super().__init__()
        c, out, inner, side = VISION["hidden_size"], VISION["out_hidden_size"], VISION["intermediate_size"], VISION["patch_size"]
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv3d(3, c, (2, side, side), (2, side, side))})
        self.post_conv_layernorm = rms_norm(c)
        self.embeddings = nn.ModuleDict({"position_embedding": nn.Embedding(24 * 24, c)})
        self.blocks = nn.ModuleList(VisionBlock() for _ in range(VISION["depth"]))
        self.post_layernorm = rms_norm(c)
        self.downsample = nn.Conv2d(c, out, 2, 2)
        self.merger = nn.ModuleDict({"proj": nn.Linear(out, out, bias=False), "post_projection_norm": nn.LayerNorm(out),
                                     "gate_proj": nn.Linear(out, inner, bias=False), "up_proj": nn.Linear(out, inner, bias=False),
                                     "down_proj": nn.Linear(inner, out, bias=False)})

    def features(self, patches, h, w):
        """`(batch, patches, hidden)` after the last norm."""
        weight = self.patch_embed["proj"].weight.flatten(1)
        x = self.post_conv_layernorm(F.linear(patches, weight, self.patch_embed["proj"].bias))
        rows, columns = block_order(h, w)
        x = x + self._positions(rows, columns, h, w)
        half = VISION["hidden_size"] // VISION["num_heads"] // 2
        inv = 1.0 / (10000.0 ** (torch.arange(0, half, 2).float() / half))
        angles = torch.cat([rows[:, None] * inv, columns[:, None] * inv], -1)  # (patches, d / 2)
        cos, sin = angles.cos(), angles.sin()
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.post_layernorm(x)

    def _positions(self, rows, columns, h, w):
        table = self.embeddings["position_embedding"].weight
        grid = torch.stack([(columns + 0.5) / w, (rows + 0.5) / h], -1) * 2 - 1
        table = table.view(24, 24, -1).permute(2, 0, 1)[None]
        return F.grid_sample(table, grid[None, :, None].float(), mode="bicubic", align_corners=False, padding_mode="border")[0, :, :, 0].T

    def tokens(self, features):
        """`(batch, patches / 4, out_hidden)`"""
        b, n, c = features.shape
        weight = self.downsample.weight.permute(0, 2, 3, 1).flatten(1)
        x = F.linear(features.view(b, n // 4, 4 * c), weight, self.downsample.bias)
        x = F.gelu(self.merger["post_projection_norm"](self.merger["proj"](x)))
        return self.merger["down_proj"](F.silu(self.merger["gate_proj"](x)) * self.merger["up_proj"](x))


def resized_kernel(weight, side):
    """A patch convolution `(out, 3, 2, s, s)` for patches of another size, which sees in an image what the old one saw in it enlarged."""
    old = weight.shape[-1]
    enlarge = F.interpolate(torch.eye(side)[None, :, None], size=(1, old), mode="bicubic", align_corners=False)[0, :, 0]  # (side, old)
    return enlarge @ weight.float() @ enlarge.T


def block_order(h, w):
    """Row and column of each patch: 2 x 2 blocks in raster order, and raster order within a block."""
    rows = torch.arange(h).view(h // 2, 1, 2, 1).expand(h // 2, w // 2, 2, 2).flatten()
    columns = torch.arange(w).view(1, w // 2, 1, 2).expand(h // 2, w // 2, 2, 2).flatten()
    return rows, columns


class DecoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        c, inner = TEXT["hidden_size"], TEXT["intermediate_size"]
        self.heads, self.kv = TEXT["num_attention_heads"], TEXT["num_key_value_heads"]
        kv_width = c // self.heads * self.kv
        self.input_layernorm, self.post_attention_layernorm = rms_norm(c), rms_norm(c)
        self.post_self_attn_layernorm, self.post_mlp_layernorm = rms_norm(c), rms_norm(c)
        self.self_attn = nn.ModuleDict({"q_proj": nn.Linear(c, c), "k_proj": nn.Linear(c, kv_width), "v_proj": nn.Linear(c, kv_width), "o_proj": nn.Linear(c, c, bias=False)})
        self.mlp = nn.ModuleDict({"gate_up_proj": nn.Linear(c, 2 * inner, bias=False), "down_proj": nn.Linear(inner, c, bias=False)})

    def forward(self, x, cos, sin, hidden):
        """The next states, and how much each attends to each, `(batch, heads, n, n)`."""
        b, n, c = x.shape
        h = self.input_layernorm(x)
        q = self.self_attn["q_proj"](h).view(b, n, self.heads, -1).transpose(1, 2)
        k = self.self_attn["k_proj"](h).view(b, n, self.kv, -1).transpose(1, 2)
        v = self.self_attn["v_proj"](h).view(b, n, self.kv, -1).transpose(1, 2)
        q, k = _rotate_pairs(q, cos, sin), _rotate_pairs(k, cos, sin)
        repeat = self.heads // self.kv
        y, shares = attention(q, k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1), hidden)
        x = x + self.post_self_attn_layernorm(self.self_attn["o_proj"](y.transpose(1, 2).reshape(b, n, c)))
        gate, up = self.mlp["gate_up_proj"](self.post_attention_layernorm(x)).chunk(2, -1)
        return x + self.post_mlp_layernorm(self.mlp["down_proj"](F.silu(gate) * up)), shares


def _rotate_pairs(x, cos, sin):
    rotated = 2 * cos.shape[-1]
    a, b = x[..., 0:rotated:2], x[..., 1:rotated:2]
    turned = torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)
    return torch.cat([turned.to(x.dtype), x[..., rotated:]], -1)


class Decoder(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab, TEXT["hidden_size"])
        self.layers = nn.ModuleList(DecoderLayer() for _ in range(TEXT["num_hidden_layers"]))
        self.norm = rms_norm(TEXT["hidden_size"])

    def forward(self, x, positions, hidden):
        """`x` `(batch, length, hidden)`, `positions` `(3, batch, length)` -> normed hidden states, each layer's states and shares."""
        rotated = int(TEXT["hidden_size"] // TEXT["num_attention_heads"] * TEXT["partial_rotary_factor"])
        inv = 1.0 / (TEXT["rope_theta"] ** (torch.arange(0, rotated, 2).float() / rotated))
        angles = positions[..., None].float() * inv  # (3, batch, length, rotated / 2)
        parts = angles.split(TEXT["rope_scaling"]["mrope_section"], -1)
        angles = torch.cat([part[i % 3] for i, part in enumerate(parts)], -1)
        cos, sin = angles.cos()[:, None], angles.sin()[:, None]
        states, shares = [], []
        for layer in self.layers:
            x, seen = layer(x, cos, sin, hidden)
            states.append(x)
            shares.append(seen)
        return self.norm(x), states, shares


class Nano(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.model = nn.ModuleDict({"visual": Tower(), "language_model": Decoder(vocab)})
        for name, p in self.named_parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02 if "embed" in name else p[0].numel() ** -0.5 * 0.7)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def visual(self):
        return self.model["visual"]

    def answer_states(self, before, visual, after, segments, places, h, w):
        """Hidden states `(batch, length, hidden)` of: ids before the image, visual tokens, ids after it; and each layer's states and shares.

        `segments` and `places` are those of `batches.Encoder.after`: ids see all that stands before the turns, and their own
        turn. `h` and `w` are the image's height and width in visual tokens; where there is none, the positions that it took.
        """
        decoder = self.model["language_model"]
        embed = decoder.embed_tokens
        x = torch.cat([embed(before), visual, embed(after)], 1)
        start = before.shape[1] + visual.shape[1]
        return decoder(x, positions(before.shape[1], visual.shape[1], h, w, places), unseen(start, segments))

    def logits(self, states):
        return F.linear(states, self.model["language_model"].embed_tokens.weight)


def positions(before, visual, h, w, places):
    """Three-axis positions `(3, batch, length)` of text, one image of h x w tokens (or none), and text at `places` `(batch, after)` behind it."""
    start = torch.arange(before).expand(3, -1)
    t = torch.full((h * w,), before)
    rows = torch.arange(h)[:, None].expand(h, w).flatten() + before
    columns = torch.arange(w)[None].expand(h, w).flatten() + before
    image = torch.stack([t, rows, columns])[:, :visual]
    prefix = torch.cat([start, image], 1)[:, None].expand(3, len(places), -1)
    return torch.cat([prefix, (places + before + max(h, w)).expand(3, -1, -1)], 2)


def unseen(start, segments):
    """`(batch, 1, length, length)`: true where a token (row) is not to see another (column)."""
    segments = F.pad(segments, (start, 0))
    n = segments.shape[1]
    later = torch.ones(n, n, dtype=torch.bool).triu(1)
    other = (segments[:, None] != segments[:, :, None]) & (segments[:, None] != 0)
    return (later | other)[:, None]
