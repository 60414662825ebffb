"""Writes a training run's weights as a Hugging Face folder. Usage: python export.py RUN OUT [--check]

`--check` loads the folder with transformers and compares its logits and greedy tokens with ours.
"""
import json
import os
import shutil
import sys

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

import batches
import tokens
from model import TEXT, VISION, Nano

CHAT_TEMPLATE = """[gMASK]<sop>
{%- for message in messages %}
{%- if message.role == "system" %}<|system|>
{% elif message.role == "user" %}<|user|>
{% elif message.role == "assistant" %}<|assistant|>
{% endif %}
{%- if message.content is string %}{{ message.content }}
{%- else %}
{%- for part in message.content %}
{%- if part.type == "image" %}<|begin_of_image|><|image|><|end_of_image|>
{%- elif part.type == "text" %}{{ part.text }}
{%- endif %}
{%- endfor %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|assistant|>
{% endif %}"""

BLOCK = VISION["patch_size"] * VISION["spatial_merge_size"]
SMALLEST, LARGEST = BLOCK * BLOCK * 3, BLOCK * BLOCK * 1000  # pixels of an image; the config counts them twice, for two frames


def config(ids):
    end = [ids["<|endoftext|>"], ids["<|user|>"]]
    return {"architectures": ["Glm4vForConditionalGeneration"], "model_type": "glm4v", "tie_word_embeddings": True, "torch_dtype": "float16",
            "image_token_id": ids["<|image|>"], "video_token_id": ids["<|video|>"], "image_start_token_id": ids["<|begin_of_image|>"],
            "image_end_token_id": ids["<|end_of_image|>"], "video_start_token_id": ids["<|begin_of_video|>"], "video_end_token_id": ids["<|end_of_video|>"],
            "text_config": {**TEXT, "vocab_size": tokens.VOCAB_SIZE, "eos_token_id": end, "pad_token_id": end[0], "tie_word_embeddings": True},
            "vision_config": VISION}


def tokenizer_config(tokenizer):
    plain = ("<think>", "</think>", "<answer>", "</answer>", "<|begin_of_box|>", "<|end_of_box|>")
    added = {str(tokenizer.token_to_id(t)): {"content": t, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": t not in plain}
             for t in tokens.SPECIAL}
    return {"added_tokens_decoder": added, "clean_up_tokenization_spaces": False, "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
            "model_max_length": TEXT["max_position_embeddings"], "padding_side": "left", "tokenizer_class": "PreTrainedTokenizerFast"}


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, indent=1)
        f.write("\n")


def export(run, out):
    os.makedirs(out, exist_ok=True)
    tokenizer = Tokenizer.from_file(os.path.join(run, "tokenizer.json"))
    ids = {t: tokenizer.token_to_id(t) for t in tokens.SPECIAL}
    state = torch.load(os.path.join(run, "last.pt"), weights_only=True)
    weights = state["average"] or {k.removeprefix("nano."): v for k, v in state["model"].items() if k.startswith("nano.")}
    save_file({k: v.half().contiguous() for k, v in weights.items()}, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    os.chmod(os.path.join(out, "model.safetensors"), 0o644)
    shutil.copy(os.path.join(run, "tokenizer.json"), out)
    cfg = config(ids)
    write_json(out, "config.json", cfg)
    write_json(out, "tokenizer_config.json", tokenizer_config(tokenizer))
    write_json(out, "generation_config.json", {"do_sample": False, "eos_token_id": cfg["text_config"]["eos_token_id"], "pad_token_id": ids["<|endoftext|>"], "max_new_tokens": 1024})
    write_json(out, "preprocessor_config.json", {
        "size": {"shortest_edge": 2 * SMALLEST, "longest_edge": 2 * LARGEST}, "do_rescale": True, "patch_size": VISION["patch_size"], "temporal_patch_size": 2, "merge_size": 2,
        "image_mean": [float(f"{v:.8f}") for v in batches.MEAN], "image_std": [float(f"{v:.8f}") for v in batches.STD],
        "processor_class": "Glm4vProcessor", "image_processor_type": "Glm4vImageProcessor"})
    with open(os.path.join(out, "chat_template.jinja"), "w", encoding="utf-8") as f:
        f.write(CHAT_TEMPLATE)
    print(f"step {state['step']}, {state['spent'] / 60:.1f} min, {state['seen']} images -> {out}")


def check(out):
    """Our graph and transformers' agree on the exported weights."""
    import random

    from safetensors.torch import load_file
    from transformers import Glm4vForConditionalGeneration

    import samples
    nano = Nano(tokens.VOCAB_SIZE).eval()
    nano.load_state_dict({k: v.float() for k, v in load_file(os.path.join(out, "model.safetensors")).items()})
    reference, loading = Glm4vForConditionalGeneration.from_pretrained(out, dtype=torch.float32, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"], loading
    encoder = batches.Encoder(Tokenizer.from_file(os.path.join(out, "tokenizer.json")))
    canvas, turns = samples.chart(random.Random(5), 260, 200)
    batch = batches.collate(encoder, [(canvas, turns[:1])])
    h, w = batch["grid"]
    with torch.no_grad():
        tower = nano.visual()
        visual = tower.tokens(tower.features(batch["patches"], h, w))
        ours = nano.logits(nano.answer_states(batch["before"], visual, batch["after"], batch["segments"], batch["places"], h // 2, w // 2)[0])
        image = torch.full((1, visual.shape[1]), encoder.id("<|image|>"))
        ids = torch.cat([batch["before"], image, batch["after"]], 1)
        theirs = reference.eval()(input_ids=ids, pixel_values=batch["patches"][0], image_grid_thw=torch.tensor([[1, h, w]]),
                                  mm_token_type_ids=(ids == encoder.id("<|image|>")).int()).logits
    filled = (batch["segments"] >= 0).sum()  # what fills the batch up sees less in our graph
    last = ours.shape[1] - batch["after"].shape[1] + filled
    worst = (ours - theirs)[:, :last].abs().max().item()
    print(f"largest difference from transformers: {worst:.2e}")
    assert worst < 1e-3, "the training graph and transformers disagree"


if __name__ == "__main__":
    export(sys.argv[1], sys.argv[2])
    if "--check" in sys.argv:
        check(sys.argv[2])
