"""Photographs that come with Python packages: scikit-image's for training, others' for evaluation."""
import functools
import os

from PIL import Image

SEEN = ["astronaut", "coffee", "chelsea", "rocket", "camera", "coins", "cell", "moon", "immunohistochemistry", "hubble_deep_field", "brick", "grass", "gravel", "retina"]


@functools.cache
def seen():
    """scikit-image's pictures; it fetches some of them on demand, and only those that it ships are used."""
    from skimage import data
    found = []
    for name in SEEN:
        try:
            found.append(Image.fromarray(getattr(data, name)()).convert("RGB"))
        except Exception:
            continue
    return found


@functools.cache
def unseen():
    """scikit-learn's two photographs and matplotlib's portrait, the badges on it cut off."""
    import matplotlib
    from sklearn.datasets import load_sample_images
    portrait = Image.open(os.path.join(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")).convert("RGB")
    return [Image.fromarray(image) for image in load_sample_images().images] + [portrait.crop((0, 0, portrait.width, portrait.height // 2))]
