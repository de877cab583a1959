"""Our detector against facenet-pytorch's: ``python -m train bench``."""

from __future__ import annotations

import numpy as np
import skimage.data
import torch
from facenet_pytorch import MTCNN
from PIL import Image
from rich import print

from fer_hub.bench import Timing, compare, ratio, table
from fer_hub.faces import FaceDetector


def detector_ratio(
    min_face_size: int = 20, size: tuple[int, int] = (640, 480), threads: int = 2, repeats: int = 15
) -> tuple[float, dict[str, Timing]]:
    """How many times faster we are on the astronaut at (width, height) ``size``, and the timings.

    Both run in this process, in turns, with the same number of threads; torch's is put back afterwards.
    """
    image = np.asarray(Image.fromarray(skimage.data.astronaut()).resize(size))
    ours = FaceDetector(min_face_size=min_face_size, threads=threads)
    theirs = MTCNN(keep_all=True, select_largest=False, min_face_size=min_face_size, device="cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        timings = compare(
            {
                "fer_hub": lambda: ours.detect(image),
                "facenet-pytorch": lambda: theirs.detect(image, landmarks=True),
            },
            repeats,
        )
    finally:
        torch.set_num_threads(before)
    return ratio(timings, "fer_hub", "facenet-pytorch"), timings


def main(threads: int = 2, repeats: int = 15) -> None:
    """Print ours against facenet-pytorch, 640 by 480 pixels, for faces from 40 and from 20 pixels."""
    for min_face_size in (40, 20):
        faster, timings = detector_ratio(min_face_size, threads=threads, repeats=repeats)
        print(f"ours vs facenet-pytorch 640x480, min_face_size {min_face_size}, {threads} threads")
        print(table(timings))
        print(f"{faster:.2f} times faster (medians)\n")


if __name__ == "__main__":
    main()
