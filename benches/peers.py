"""The shapes of `glm4v bench --shape` through llama.cpp and torch, in turn with glm4v.

Every round runs each program once, so that what disturbs the machine disturbs all alike; medians and
ratios are printed at the end. Weights are random: speed does not depend on them.

    python benches/peers.py --shape glm-ocr --layers 4 --image 560x560 --llama-bench PATH

Needs torch, transformers and gguf from the Python registry, and `llama-bench` built from the copy
of llama.cpp inside the `llama-cpp-python` source package:

    pip download --no-deps --no-binary llama-cpp-python llama-cpp-python && tar xzf llama_cpp_python-*.tar.gz
    cd llama_cpp_python-*/vendor/llama.cpp
    cmake -B build -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_BUILD_SERVER=OFF
    cmake --build build --target llama-bench llama-mtmd-cli

Decoding begins after the prompt, in all programs. With --llama-mtmd llama.cpp looks at a picture too, twice: a random
checkpoint of glm-ocr's shape is written and turned to f16 by `glm4v models quantize`, and the time is what llama-mtmd-cli
says that encoding took the second time, when nothing is new to it. The other programs have seen the picture once too.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DECODED = 16


def main():
    args = arguments()
    text, vision = config(args)
    peers = {"glm4v": lambda: glm4v(args)}
    for quant in filter(None, args.quants.split(",")):
        peers[f"glm4v {quant}"] = lambda quant=quant: glm4v(args, quant)
    if vision and not args.no_torch:
        peers["torch"] = (torch_eva_tower if args.shape == "glm-4v-9b" else torch_tower)(args, vision)
    with tempfile.TemporaryDirectory() as folder:
        if args.llama_bench and args.prompt:
            for kind in args.llama_types.split(","):
                path = pathlib.Path(folder) / f"{kind}.gguf"
                write_gguf(path, text, kind)
                peers[f"llama.cpp {kind}"] = lambda path=path: llama_bench(args, path)
        if args.llama_mtmd:
            peers["llama.cpp vision"] = llama_vision(args, pathlib.Path(folder))
        results = alternate(peers, args.rounds)
    report(args, results)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", default="glm-ocr", choices=["glm-ocr", "glm-4.1v-9b", "glm-4-9b", "glm-4v-9b"])
    parser.add_argument("--layers", type=int, default=4, help="at most so many, of decoder and tower")
    parser.add_argument("--image", default="560x560", help="sides that are multiples of 28")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--dtype", default="bf16", choices=["f32", "bf16"])
    parser.add_argument("--quants", default="", help="of glm4v, such as int8,q8_0,q4_k, beside --dtype")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--glm4v", default=str(ROOT / "target/release/glm4v"))
    parser.add_argument("--llama-bench", help="the program; without it llama.cpp is left out")
    parser.add_argument("--llama-mtmd", help="llama-mtmd-cli, for the tower; glm-ocr only")
    parser.add_argument("--llama-types", default="F16,Q8_0", help="F16, Q8_0, Q4_0, Q4_K (where widths are multiples of 256)")
    parser.add_argument("--no-torch", action="store_true", help="leave torch out")
    parser.add_argument("--json", action="store_true", help="print the medians as JSON too")
    args = parser.parse_args()
    if args.shape == "glm-4v-9b":
        args.image = "1120x1120"  # the model resizes every image to this
    return args


def config(args):
    """The decoder's and the tower's config, with fewer layers."""
    file = ROOT / "fusion/src/bench/shapes" / f"{args.shape}.json"
    whole = json.loads(file.read_text())
    text, vision = whole.get("text_config", whole), whole.get("vision_config")
    for part in filter(None, (text, vision)):
        for key in ("num_hidden_layers", "num_layers", "depth"):
            if key in part:
                part[key] = min(part[key], args.layers)
    if args.shape == "glm-4v-9b" and args.llama_bench:
        sys.exit("--llama-bench: llama.cpp's form of this decoder is --shape glm-4-9b, and its tower is not in llama.cpp")
    return text, vision


def alternate(peers, rounds):
    """Milliseconds of each phase by each program, all rounds."""
    results = {}
    for name, run in peers.items():  # once to warm up
        run()
    for _ in range(rounds):
        for name, run in peers.items():
            for phase, ms in run().items():
                results.setdefault(phase, {}).setdefault(name, []).append(ms)
    return results


def glm4v(args, quant=None):
    command = [args.glm4v, "bench", "--json", "--rounds", "1", "--shape", args.shape]
    command += ["--layers", str(args.layers), "--image", args.image, "--prompt", str(args.prompt)]
    command += ["--decode", str(DECODED), "--batch", "1", "--dtype", args.dtype, "--threads", str(args.threads)]
    command += ["--quant", quant] if quant else []
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    phases = [json.loads(line) for line in lines]
    wanted = ("vision", "prefill", "decode")
    return {phase["name"]: phase["ms"] for phase in phases if phase.get("name") in wanted}


def torch_tower(args, vision):
    """The reference's tower with projector, attention by torch's fused kernels."""
    import torch
    from transformers.models.glm4v import configuration_glm4v, modeling_glm4v
    from transformers.models.glm_ocr import configuration_glm_ocr, modeling_glm_ocr

    torch.set_num_threads(args.threads)
    if args.shape == "glm-ocr":
        tower, kind = modeling_glm_ocr.GlmOcrVisionModel, configuration_glm_ocr.GlmOcrVisionConfig
    else:
        tower, kind = modeling_glm4v.Glm4vVisionModel, configuration_glm4v.Glm4vVisionConfig
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[args.dtype]
    settings = kind(**vision)
    settings._attn_implementation = "sdpa"
    model = tower(settings).to(dtype).eval()
    width, height = (int(side) // settings.patch_size for side in args.image.split("x"))
    pixels = torch.randn(width * height, 3 * 2 * settings.patch_size**2, dtype=dtype)
    grid = torch.tensor([[1, height, width]])

    def run():
        with torch.inference_mode():
            started = time.perf_counter()
            model(pixels, grid)
            return {"vision": 1e3 * (time.perf_counter() - started)}

    return run


def torch_eva_tower(args, vision):
    """GLM-4V-9B's tower, whose reference is code of the checkpoint's own, with the same products and fused attention."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(args.threads)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[args.dtype]
    c, inner, heads, depth = vision["hidden_size"], vision["intermediate_size"], vision["num_heads"], vision["num_hidden_layers"]
    width, height = (int(side) // vision["patch_size"] for side in args.image.split("x"))
    out, wide = 4096, 13696
    layers = [{"qkv": nn.Linear(c, 3 * c), "dense": nn.Linear(c, c), "fc1": nn.Linear(c, inner), "fc2": nn.Linear(inner, c),
               "norm1": nn.LayerNorm(c), "norm2": nn.LayerNorm(c)} for _ in range(depth)]
    ends = {"patches": nn.Conv2d(3, c, 14, 14), "conv": nn.Conv2d(c, out, 2, 2), "proj": nn.Linear(out, out, bias=False), "norm": nn.LayerNorm(out),
            "gate": nn.Linear(out, wide, bias=False), "up": nn.Linear(out, wide, bias=False), "down": nn.Linear(wide, out, bias=False)}
    for module in [module for part in [*layers, ends] for module in part.values()]:
        module.to(dtype).eval()
    cls, positions = torch.randn(1, 1, c, dtype=dtype), torch.randn(1, width * height + 1, c, dtype=dtype)
    pixels = torch.randn(1, 3, height * 14, width * 14, dtype=dtype)

    def tower():
        x = ends["patches"](pixels).flatten(2).transpose(1, 2)  # (1, patches, c)
        x = torch.cat([cls, x], 1) + positions
        for layer in layers:
            q, k, v = layer["qkv"](x).view(1, x.shape[1], 3, heads, c // heads).permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, x.shape[1], c)
            x = x + layer["norm1"](layer["dense"](mixed))
            x = x + layer["norm2"](layer["fc2"](F.gelu(layer["fc1"](x))))
        x = x[:, 1:].transpose(1, 2).reshape(1, c, height, width)
        x = ends["conv"](x).flatten(2).transpose(1, 2)  # (1, patches / 4, out)
        x = F.gelu(ends["norm"](ends["proj"](x)))
        return ends["down"](F.silu(ends["gate"](x)) * ends["up"](x))

    def run():
        with torch.inference_mode():
            started = time.perf_counter()
            tower()
            return {"vision": 1e3 * (time.perf_counter() - started)}

    return run


def random_blocks(random, columns, kind):
    """256 rows of random blocks, which the gguf package cannot make of numbers: bytes, with one or two scales among them."""
    import numpy

    size, scales = {"Q4_K": (144, slice(0, 4)), "Q6_K": (210, slice(208, 210))}[kind]
    blocks = random.integers(0, 256, (256, columns // 256, size), numpy.uint8)
    blocks[..., scales] = numpy.frombuffer(numpy.array([1e-3, 1e-3], numpy.float16).tobytes()[: scales.stop - scales.start], numpy.uint8)
    return blocks.reshape(256, -1)


def write_gguf(path, text, kind):
    """A decoder of the shape with random weights, as llama.cpp reads it (architecture `glm4`).

    With Q4_K table and head are of Q6_K, as in our recipe for `q4_k` and in llama.cpp's own for the head.
    """
    import gguf
    import numpy

    random = numpy.random.default_rng(0)
    hidden, inner, layers = text["hidden_size"], text["intermediate_size"], text["num_hidden_layers"]
    heads, kv_heads, d = text["num_attention_heads"], text["num_key_value_heads"], text["head_dim"]
    rotary = text.get("rope_parameters", text)
    writer = gguf.GGUFWriter(path, "glm4")
    writer.add_block_count(layers)
    writer.add_context_length(8192)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(d)
    writer.add_value_length(d)
    writer.add_rope_dimension_count(int(d * rotary["partial_rotary_factor"]))
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(text["vocab_size"])
    writer.add_tokenizer_model("no_vocab")

    def matrix(name, rows, columns, kind=kind):
        form = gguf.GGMLQuantizationType[kind]
        drawn = random.standard_normal((256, columns), numpy.float32) / columns**0.5
        stored = random_blocks(random, columns, kind) if kind.endswith("_K") else gguf.quants.quantize(drawn, form)
        repeated = numpy.concatenate([stored] * -(-rows // 256))[:rows]
        writer.add_tensor(f"{name}.weight", repeated, raw_dtype=form)

    def norm(name):
        writer.add_tensor(f"{name}.weight", numpy.ones(hidden, numpy.float32))

    ends = "Q6_K" if kind == "Q4_K" else kind
    matrix("token_embd", text["vocab_size"], hidden, ends)
    matrix("output", text["vocab_size"], hidden, ends)
    norm("output_norm")
    for i in range(layers):
        for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            norm(f"blk.{i}.{name}")
        matrix(f"blk.{i}.attn_q", heads * d, hidden)
        matrix(f"blk.{i}.attn_k", kv_heads * d, hidden)
        matrix(f"blk.{i}.attn_v", kv_heads * d, hidden)
        matrix(f"blk.{i}.attn_output", hidden, heads * d)
        matrix(f"blk.{i}.ffn_up", 2 * inner, hidden)
        matrix(f"blk.{i}.ffn_down", hidden, inner)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama_bench(args, path):
    command = [args.llama_bench, "-m", path, "-t", str(args.threads), "-r", "1", "-o", "json"]
    works = {
        "prefill": (args.prompt, ["-p", str(args.prompt), "-n", "0"]),
        "decode": (1, ["-p", "0", "-n", str(DECODED), "-d", str(args.prompt)]),
    }
    phases = {}
    for phase, (tokens, work) in works.items():
        output = subprocess.run(command + work, check=True, capture_output=True, text=True).stdout
        phases[phase] = 1e3 * tokens / json.loads(output)[0]["avg_ts"]
    return phases


def llama_vision(args, folder):
    """The tower and projector by llama.cpp, in f16."""
    from PIL import Image
    import numpy

    if args.shape != "glm-ocr":
        sys.exit("--llama-mtmd: only for --shape glm-ocr")
    checkpoint, model, picture = folder / "checkpoint", folder / "whole.gguf", folder / "picture.png"
    small = ROOT / "tests/fixtures/goldens/glm_ocr"
    subprocess.run([sys.executable, ROOT / "benches/random_checkpoint.py", args.shape, small, checkpoint, str(args.layers)], check=True)
    subprocess.run([args.glm4v, "models", "quantize", checkpoint, model, "--quant", "f16", "-q"], check=True)
    width, height = (int(side) for side in args.image.split("x"))
    pixels = numpy.random.default_rng(0).integers(0, 256, (height, width, 3), numpy.uint8)
    Image.fromarray(pixels).save(picture)
    command = [args.llama_mtmd, "-m", model, "--mmproj", folder / "mmproj-whole.gguf", "--image", picture, "--image", picture, "-p", "What?"]
    command += ["-n", "1", "-t", str(args.threads), "-c", "4096", "--chat-template", "chatml", "--no-warmup", "-lv", "4"]

    def run():
        output = subprocess.run(command, check=True, capture_output=True, text=True)
        return {"vision": float(re.findall(r"encoding done in (\d+) ms", output.stdout + output.stderr)[1])}

    return run


def report(args, results):
    print(f"{args.shape}, {args.layers} layers, {args.image}, {args.prompt} rows, {args.dtype}")
    ours = [name for name in next(iter(results.values())) if name.startswith("glm4v")]
    print("How many times as fast as each program those of glm4v are:")
    print(f"{'PHASE':<10}{'PROGRAM':<18}{'MEDIAN MS':>12}{'LEAST MS':>12}" + "".join(f"{name:>14}" for name in ours))
    for phase, programs in results.items():
        for name, times in programs.items():
            median = statistics.median(times)
            ratios = [f"{median / statistics.median(programs[our]):.2f} x" for our in ours]
            print(f"{phase:<10}{name:<18}{median:>12.1f}{min(times):>12.1f}" + "".join(f"{ratio:>14}" for ratio in ratios))
    if args.json:
        print(json.dumps({p: {n: statistics.median(t) for n, t in r.items()} for p, r in results.items()}))


if __name__ == "__main__":
    main()
