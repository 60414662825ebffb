"""Writes a checkpoint of a published size with random bf16 weights, to time loading and to see what memory it takes.

Usage: python random_checkpoint.py glm-ocr|glm-4v-9b SMALL OUT [LAYERS]

SMALL is a small checkpoint of the family with the real tensor names, such as tests/fixtures/goldens/glm_ocr or
tests/fixtures/goldens/glm4v_9b: names, tokenizer and template come from it, sizes from the shape's config, which
`glm4v bench --shape` has too. Ids of special tokens stay the small tokenizer's. LAYERS is the most that
decoder and tower get. GLM-4V-9B takes 28 GB of disk.
"""
import json
import os
import re
import shutil
import struct
import sys

import numpy as np

SHAPES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fusion", "src", "bench", "shapes")
SHARD = 4 << 30  # bytes


def glm_ocr(config):
    """Names of a tensor, as patterns, and their shapes."""
    t, v = config["text_config"], config["vision_config"]
    h, inner, d = t["hidden_size"], t["intermediate_size"], t["head_dim"]
    q, kv, c, out, vi = t["num_attention_heads"] * d, t["num_key_value_heads"] * d, v["hidden_size"], v["out_hidden_size"], v["intermediate_size"]
    merged = 3 * out
    return t["num_hidden_layers"], v["depth"], {
        r"lm_head.weight|.*embed_tokens.weight": [t["vocab_size"], h],
        r".*language_model.*norm.weight": [h], r".*(input|post_attention|post_mlp|post_self_attn)_layernorm.weight": [h],
        r".*gate_up_proj.weight": [2 * inner, h], r".*layers.*mlp.down_proj.weight": [h, inner],
        r".*[kv]_proj.weight": [kv, h], r".*q_proj.weight": [q, h], r".*o_proj.weight": [h, q],
        r".*blocks.*[kq]_norm.weight": [c // v["num_heads"]], r".*blocks.*norm[12].weight": [c], r".*visual.post_layernorm.weight": [c],
        r".*attn.proj.weight": [c, c], r".*attn.proj.bias": [c], r".*qkv.weight": [3 * c, c], r".*qkv.bias": [3 * c],
        r".*blocks.*(gate|up)_proj.weight": [vi, c], r".*blocks.*(gate|up)_proj.bias": [vi],
        r".*blocks.*down_proj.weight": [c, vi], r".*blocks.*down_proj.bias": [c],
        r".*downsample.weight": [out, c, 2, 2], r".*downsample.bias": [out],
        r".*merger.(gate|up)_proj.weight": [merged, out], r".*merger.down_proj.weight": [out, merged], r".*merger.proj.weight": [out, out],
        r".*post_projection_norm.(weight|bias)": [out], r".*patch_embed.proj.weight": [c, 3, 2, 14, 14], r".*patch_embed.proj.bias": [c],
    }


def glm_4v_9b(config):
    v = config["vision_config"]
    h, inner, words, c, vi = config["hidden_size"], config["ffn_hidden_size"], config["padded_vocab_size"], v["hidden_size"], v["intermediate_size"]
    qkv = (config["num_attention_heads"] + 2 * config["multi_query_group_num"]) * config["kv_channels"]
    return config["num_layers"], v["num_hidden_layers"], {
        r".*word_embeddings.weight|.*output_layer.weight": [words, h], r".*encoder.*layernorm.weight": [h],
        r".*dense_4h_to_h.weight": [h, inner], r".*dense_h_to_4h.weight": [2 * inner, h],
        r".*self_attention.dense.weight": [h, h], r".*self_attention.query_key_value.weight": [qkv, h], r".*self_attention.query_key_value.bias": [qkv],
        r".*inv_freq": [config["kv_channels"] // 4], r".*vision.[be]oi": [1, 1, h],
        r".*vision.conv.weight": [h, c, 2, 2], r".*vision.conv.bias": [h],
        r".*linear_proj.(gate_proj|dense_h_to_4h).weight": [inner, h], r".*linear_proj.linear_proj.weight": [h, h],
        r".*linear_proj.dense_4h_to_h.weight": [h, inner], r".*linear_proj.norm1.(weight|bias)": [h],
        r".*cls_embedding": [1, c], r".*position_embedding.weight": [v["num_positions"], c],
        r".*patch_embedding.proj.weight": [c, 3, 14, 14], r".*patch_embedding.proj.bias": [c],
        r".*vision.*attention.dense.weight": [c, c], r".*vision.*attention.query_key_value.weight": [3 * c, c], r".*vision.*attention.query_key_value.bias": [3 * c],
        r".*fc1.weight": [vi, c], r".*fc1.bias": [vi], r".*fc2.weight": [c, vi], r".*vision.*(layernorm.weight|layernorm.bias|dense.bias|fc2.bias)": [c],
    }


def shape_of(name, rank, shapes):
    """By the last pattern that the whole name meets and that has as many axes."""
    found = [shape for pattern, shape in shapes.items() if re.fullmatch(pattern, name) and len(shape) == rank]
    if not found:
        sys.exit(f"{name}: no size is known for it")
    return found[-1]


def names(small, decoder_layers, tower_layers):
    """Name and rank of each tensor: those of layer 0 stand for all layers."""
    for file in sorted(f for f in os.listdir(small) if f.startswith("model") and f.endswith(".safetensors")):
        with open(os.path.join(small, file), "rb") as f:
            header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        for name, tensor in sorted(header.items()):
            if name == "__metadata__":
                continue
            layer = re.search(r"\.(layers|blocks)\.(\d+)\.", name)
            if layer is None:
                yield name, len(tensor["shape"])
            elif layer[2] == "0":
                vision = "vision" in name or "visual" in name
                for i in range(tower_layers if vision else decoder_layers):
                    yield name.replace(f".{layer[1]}.0.", f".{layer[1]}.{i}."), len(tensor["shape"])


def write(folder, tensors):
    """Tensors of random values around 0, of norms around 1, in shards of a few gigabytes with an index."""
    shards, size = [[]], 0
    for name, shape in tensors:
        bytes_ = 2 * int(np.prod(shape))
        if size + bytes_ > SHARD:
            shards.append([])
            size = 0
        size += bytes_
        shards[-1].append((name, shape, bytes_))
    def noise(scale, centre):
        values = (np.random.default_rng(1).standard_normal(1 << 24, np.float32) * scale + centre).astype(np.float32)
        return (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    small, ones = noise(0.02, 0.0), noise(0.02, 1.0)
    index = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        header, at = {}, 0
        for name, shape, bytes_ in shard:
            header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + bytes_]}
            index[name], at = file, at + bytes_
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(os.path.join(folder, file), "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text)
            for j, (name, shape, bytes_) in enumerate(shard):
                source = ones if "norm" in name and name.endswith("weight") else small
                start = 2 * (j * 7919 % 4096)
                while bytes_ > 0:
                    f.write(source[start : start + bytes_])
                    bytes_ -= min(bytes_, len(source) - start)
                    start = 0
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {}, "weight_map": index}, f)


def merged(small, sizes):
    """The small config with the sizes of the other one; ids of tokens are the small tokenizer's."""
    for key, value in sizes.items():
        if isinstance(value, dict):
            small[key] = merged(small.get(key, {}), value)
        elif not key.endswith("_token_id"):
            small[key] = value
    return small


def main():
    if len(sys.argv) not in (4, 5) or sys.argv[1] not in ("glm-ocr", "glm-4v-9b"):
        sys.exit(__doc__)
    shape, small, out = sys.argv[1:4]
    with open(os.path.join(SHAPES, f"{shape}.json")) as f:
        sizes = json.load(f)
    for part in (sizes, sizes.get("text_config", {}), sizes["vision_config"]):
        for key in ("num_hidden_layers", "num_layers", "depth"):
            if key in part and len(sys.argv) == 5:
                part[key] = min(part[key], int(sys.argv[4]))
    with open(os.path.join(small, "config.json")) as f:
        config = json.load(f)
    decoder_layers, tower_layers, shapes = (glm_ocr if shape == "glm-ocr" else glm_4v_9b)(sizes)
    config = merged(config, sizes)
    if shape == "glm-ocr":
        config["text_config"]["num_nextn_predict_layers"] = 0
    os.makedirs(out, exist_ok=True)
    tensors = [(name, shape_of(name, rank, shapes)) for name, rank in names(small, decoder_layers, tower_layers)]
    write(out, tensors)
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(config, f, indent=1)
    for file in os.listdir(small):
        if "token" in file or file.startswith(("generation", "preprocessor", "chat_template")):
            shutil.copy(os.path.join(small, file), out)
    print(f"{len(tensors)} tensors, {sum(2 * int(np.prod(s)) for _, s in tensors) / 1e9:.2f} GB in {out}")


if __name__ == "__main__":
    main()
