"""Mixes two models of one shape, weight by weight. Usage: python mix.py FOLDER OTHER SHARE OUT

OUT gets 1 - SHARE of FOLDER's weights and SHARE of OTHER's, and OTHER's small files. Where OTHER was trained from FOLDER at
a low rate, the mix often does better than either ("Model soups", Wortsman et al. 2022).
"""
import os
import shutil
import sys

from safetensors.torch import load_file, save_file


def main():
    folder, other, share, out = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]
    one, two = (load_file(os.path.join(path, "model.safetensors")) for path in (folder, other))
    mixed = {name: (one[name].float() * (1 - share) + weight.float() * share).to(weight.dtype).contiguous() for name, weight in two.items()}
    os.makedirs(out, exist_ok=True)
    for name in os.listdir(other):
        if name != "model.safetensors":
            shutil.copy(os.path.join(other, name), out)
    save_file(mixed, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})


if __name__ == "__main__":
    main()
