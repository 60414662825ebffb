"""Writes a parity case of the exported weights: what transformers computes on them, in float32.

Usage: python parity.py MODEL_FOLDER OUT. The files have the layout of the project's goldens:
`one_image_0.png`, `one_image.json` (prompt, ids, greedy tokens) and `one_image.safetensors`.
"""
import json
import os
import sys

import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import Glm4vForConditionalGeneration

import batches
from canvas import Canvas, EASY_FONTS, load_font

STEPS = 16
PROMPT = "Text Recognition:"
WIDTH, HEIGHT = 120, 20  # pixels: six visual tokens


def picture(path):
    canvas = Canvas(WIDTH, HEIGHT)
    canvas.text((6, 0), "Total 42.50", load_font(EASY_FONTS[0], 16))
    canvas.image.save(path)


def prepare(encoder, path):
    """Model inputs of one image and the prompt."""
    pixels = torch.from_numpy(batches.patches(Image.open(path).convert("RGB")))
    h, w = HEIGHT // batches.PATCH, WIDTH // batches.PATCH
    image = encoder.id("<|image|>")
    ids = [*encoder.before, *[image] * (h * w // 4), encoder.id("<|end_of_image|>"), *encoder.prompt(PROMPT)]
    ids = torch.tensor([ids])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": (ids == image).long(),
            "pixel_values": pixels, "image_grid_thw": torch.tensor([[1, h, w]])}


def record(model, inputs):
    """Outputs of the tower's and the decoder's stages for one forward pass."""
    modules = {"vision_with_positions": "model.visual.embeddings", "vision_post_norm": "model.visual.post_layernorm",
               "vision_embeddings": "model.visual.merger", "lm_layer_0": "model.language_model.layers.0",
               "lm_final_norm": "model.language_model.norm"}
    found, named = {}, dict(model.named_modules())
    hooks = [named[name].register_forward_hook(
        lambda _m, _i, out, key=key: found.__setitem__(key, (out[0] if isinstance(out, tuple) else out).detach().clone()))
        for key, name in modules.items()]
    out = model(**inputs)
    for hook in hooks:
        hook.remove()
    return {**found, "logits": out.logits}


def greedy(model, inputs):
    """`STEPS` tokens by argmax without a cache, no stop token, and each step's logits `(1, steps, vocabulary)`."""
    inputs, new, steps = dict(inputs), [], []
    for _ in range(STEPS):
        logits = model(**inputs, use_cache=False).logits[:, -1]
        token = logits.argmax(-1, keepdim=True)
        new.append(token.item())
        steps.append(logits)
        inputs["input_ids"] = torch.cat([inputs["input_ids"], token], 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(token)], 1)
    return new, torch.stack(steps, 1)


def main(folder, out):
    os.makedirs(out, exist_ok=True)
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    encoder = batches.Encoder(tokenizer)
    picture(os.path.join(out, "one_image_0.png"))
    inputs = prepare(encoder, os.path.join(out, "one_image_0.png"))
    model = Glm4vForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        stages = record(model, inputs)
        positions, deltas = model.model.get_rope_index(inputs["input_ids"], inputs["mm_token_type_ids"], inputs["image_grid_thw"], attention_mask=inputs["attention_mask"])
        tokens, step_logits = greedy(model, inputs)
    tensors = {**inputs, **stages, "position_ids": positions, "rope_deltas": deltas, "greedy_step_logits": step_logits}
    tensors = {k: v.contiguous() for k, v in tensors.items()}
    save_file(tensors, os.path.join(out, "one_image.safetensors"), metadata={"torch": torch.__version__})
    top = step_logits.topk(2, -1).values
    start = "[gMASK]<sop><|user|>\n<|begin_of_image|>"
    end = f"<|end_of_image|>{PROMPT}<|assistant|>\n"
    visual = (inputs["input_ids"] == encoder.id("<|image|>")).sum().item()
    info = {"model": "nano", "prompt": f"{start}<|image|>{end}", "files": ["one_image_0.png"], "n_images": 1, "video_metadata": [], "do_sample_frames": None,
            "expanded_prompt": start + "<|image|>" * visual + end, "input_ids": inputs["input_ids"][0].tolist(),
            "image_grid_thw": inputs["image_grid_thw"].tolist(), "video_grid_thw": None, "rope_deltas": deltas.tolist(),
            "greedy_tokens": tokens, "greedy_text": tokenizer.decode(tokens), "min_top2_margin": (top[..., 0] - top[..., 1]).min().item(),
            "n_tokens": inputs["input_ids"].shape[1],
            "tensors": {k: [str(v.dtype).removeprefix("torch."), *v.shape] for k, v in sorted(tensors.items())}}
    with open(os.path.join(out, "one_image.json"), "w", encoding="utf-8") as f:
        json.dump(info, f, ensure_ascii=False, indent=1)
        f.write("\n")
    print(info["greedy_text"], info["min_top2_margin"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
