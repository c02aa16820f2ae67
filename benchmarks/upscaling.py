"""Compare the bundled upscaler with Lanczos, bicubic and ESRGAN, on held-out covers; and measure its speed.

    python benchmarks/upscaling.py [--covers 100] [--picture docs/upscaling.jpg] [--out numbers.json]

Quality: held-out covers are downscaled with Lanczos ("clean"), or also blurred and saved as JPEG of quality 70
("degraded"), then upscaled four times and compared with the originals: PSNR and SSIM (higher is better), ST-LPIPS
(lower), whose VGG was not used in any training here. Lines and flats: a synthetic test card. Then covers of the bundled
model, side by side with Lanczos, as a picture. Needs the covers in ../shared, which are not part of the project; ESRGAN
("thick", MIT, 3.8 times the size of our upscaler) comes from the npm registry and is left out if that fails.
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
COVERS = ROOT.parent / "shared" / "covers"
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from PIL import Image, ImageDraw, ImageFilter  # noqa: E402
from torchmetrics.functional.image import structural_similarity_index_measure as ssim  # noqa: E402

from album_gan import AlbumCoverPipeline  # noqa: E402
from album_gan.covers.dataset import CoverSource, load_covers  # noqa: E402
from album_gan.evaluation.extractors import ShiftTolerantLPIPS  # noqa: E402
from album_gan.inference.pixels import grid, to_pil, to_tensor  # noqa: E402
from album_gan.inference.upscaling import lanczos  # noqa: E402

ESRGAN = "@upscalerjs/esrgan-thick@1.0.0"


class KerasGraph:
    """ESRGAN from npm: a Keras graph of convolutions, sums and concatenations with its weights, run with torch."""

    def __init__(self, folder: Path):
        model = json.loads((folder / "model.json").read_text())
        [group] = model["weightsManifest"]
        stored = np.frombuffer(b"".join((folder / path).read_bytes() for path in group["paths"]), np.float32)
        self.weights, start = {}, 0
        for entry in group["weights"]:
            count = int(np.prod(entry["shape"]))
            self.weights[entry["name"]] = torch.from_numpy(stored[start : start + count].reshape(entry["shape"]).copy())
            start += count
        self.layers = model["modelTopology"]["model_config"]["config"]["layers"]

    @torch.inference_mode()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, 4H, 4W)"""
        values = {}
        for layer in self.layers:
            name, config = layer["name"], layer["config"]
            inputs = [values[source[0]] for source in layer["inbound_nodes"][0]] if layer["inbound_nodes"] else [x]
            match layer["class_name"]:
                case "InputLayer":
                    values[name] = x
                case "Conv2D":
                    kernel = self.weights[f"{name}/kernel"].permute(3, 2, 0, 1).contiguous()
                    bias = self.weights[f"{name}/bias"]
                    values[name] = F.conv2d(inputs[0], kernel, bias, padding=kernel.shape[-1] // 2)
                case "Activation":
                    values[name] = F.relu(inputs[0])
                case "Concatenate":
                    values[name] = torch.cat(inputs, 1)
                case "Add":
                    values[name] = inputs[0] + inputs[1]
                case "MultiplyBeta":
                    values[name] = inputs[0] * config["beta"]
                case "PixelShuffle4x":  # in TensorFlow a block's channels come last, in torch first
                    batch, channels, height, width = inputs[0].shape
                    blocks = inputs[0].view(batch, 16, channels // 16, height, width).transpose(1, 2)
                    values[name] = F.pixel_shuffle(blocks.reshape(batch, channels, height, width), 4)
        return values[name]


def esrgan():
    """ESRGAN as an engine; None, with the reason printed, if npm cannot fetch it."""
    folder = Path(tempfile.mkdtemp())
    try:
        subprocess.run(["npm", "pack", ESRGAN, "--silent"], cwd=folder, check=True, capture_output=True, timeout=300)
        subprocess.run(["tar", "xzf", next(folder.glob("*.tgz"))], cwd=folder, check=True)
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        print(f"ESRGAN is left out: {ESRGAN} could not be fetched with npm ({type(error).__name__})")
        return None
    network = KerasGraph(folder / "package" / "models" / "x4")

    def engine(image: Image.Image, size: tuple[int, int]) -> Image.Image:
        drawn = network((to_tensor([image]) + 1) / 2)
        return lanczos(to_pil(drawn.clamp(0, 1) * 2 - 1)[0], size)

    return engine


def degraded(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(0.6)).save(buffer, "JPEG", quality=70)
    return Image.open(buffer).convert("RGB")


@torch.inference_mode()
def perceptual_distance(network: ShiftTolerantLPIPS, a: torch.Tensor, b: torch.Tensor) -> float:
    """ST-LPIPS, mean over (B, 3, H, W) in [-1, 1]."""
    total = 0.0
    for number, (one, other) in enumerate(zip(network.taps(a), network.taps(b), strict=True)):
        difference = (F.normalize(one, dim=1, eps=1e-10) - F.normalize(other, dim=1, eps=1e-10)) ** 2
        total += F.conv2d(difference, getattr(network, f"lin{number}_model_1_weight")).mean().item()
    return total


def quality(covers: list[Image.Image], small_size: int, spoil, engines: dict) -> dict[str, dict[str, float]]:
    judge, large_size, results = ShiftTolerantLPIPS().eval(), small_size * 4, {}
    truth = [lanczos(cover, (large_size, large_size)) for cover in covers]
    small = [spoil(lanczos(cover, (small_size, small_size))) for cover in truth]
    for name, engine in engines.items():
        started = time.perf_counter()
        enlarged = [engine(cover, (large_size, large_size)) for cover in small]
        seconds = (time.perf_counter() - started) / len(small)
        numbers = []
        for one, other in zip(enlarged, truth, strict=True):
            a, b = to_tensor([one]), to_tensor([other])
            error = ((a - b) ** 2).mean().item() / 4
            numbers.append((-10 * np.log10(error), ssim(a, b, data_range=2.0).item(), perceptual_distance(judge, a, b)))
        psnr, similarity, distance = np.mean(numbers, 0)
        results[name] = {"psnr": psnr, "ssim": similarity, "st_lpips": distance, "ms": 1000 * seconds}
    return results


def card(size: int) -> Image.Image:
    """A test card of straight edges at several slopes, and flat fields, drawn at eight times the size."""
    scale = 8
    image = Image.new("RGB", (size * scale, size * scale), (238, 232, 213))
    draw = ImageDraw.Draw(image)
    half, unit = size * scale // 2, size * scale
    draw.rectangle((0, 0, half, half), fill=(200, 30, 45))
    draw.polygon([(half, half), (unit, half * 1.25), (unit, unit), (half, unit)], fill=(20, 40, 90))
    draw.polygon([(0, unit), (half, half), (half, unit)], fill=(250, 200, 40))
    return image.resize((size, size), Image.Resampling.BOX)


def lines_and_flats(engine) -> dict[str, float]:
    """For the card upscaled from 64 to 256: largest error in flat fields, mean error along edges, out of 255."""
    truth = np.asarray(card(256), float)
    enlarged = np.asarray(engine(card(64), (256, 256)), float)
    error = np.abs(enlarged - truth).max(-1)
    spread = np.ptp(truth, axis=-1)
    near_edge = np.zeros(error.shape, bool)
    for axis in (0, 1):
        for shift in range(-8, 9):
            near_edge |= np.abs(np.roll(truth, shift, axis) - truth).max(-1) > 4
    near_edge[:, :9] = near_edge[:9] = near_edge[:, -9:] = near_edge[-9:] = True  # `roll` wraps around
    assert spread.shape == near_edge.shape
    inside = error[8:-8, 8:-8][near_edge[8:-8, 8:-8]]
    return {"flat_worst": error[~near_edge].max(), "edge_mean": inside.mean()}


def speed(pipe: AlbumCoverPipeline, engine: str) -> dict[str, float]:
    cover, seconds = pipe(seeds=[0]).images[0], {}
    for size in (512, 3000):
        pipe.upscale(cover, 512, engine)
        started = time.perf_counter()
        pipe.upscale(cover, size, engine)
        seconds[f"to {size}"] = time.perf_counter() - started
    return seconds


def side_by_side(pipe: AlbumCoverPipeline, seeds: range) -> Image.Image:
    """Covers of the model at 512 pixels: Lanczos above, bundled below, and a crop of each, twice as large."""
    rows = []
    for engine in ("lanczos", "bundled"):
        large = [pipe.upscale(cover, 512, engine) for cover in pipe(seeds=seeds).images]
        rows += [[image.resize((256, 256), Image.Resampling.LANCZOS) for image in large]]
        rows += [[image.crop((128, 128, 256, 256)).resize((256, 256), Image.Resampling.NEAREST) for image in large]]
    return grid([picture for row in (rows[0], rows[2], rows[1], rows[3]) for picture in row], len(seeds), gap=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--covers", type=int, default=100)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peer", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    pipe = AlbumCoverPipeline.from_pretrained(arguments.model)
    engines = {"bundled": pipe.find_engine("bundled"), "lanczos": lanczos}
    engines["bicubic"] = lambda image, size: image.resize(size, Image.Resampling.BICUBIC)
    peer = esrgan() if arguments.peer else None
    if peer:
        engines["esrgan"] = peer
    results = {}
    if COVERS.is_dir():
        held_out = load_covers(CoverSource(train_data_dir=str(COVERS), resolution=256)).held_out.all_pixels()
        covers = [Image.fromarray(pixels) for pixels in held_out[: arguments.covers]]
        for small in (64, 32):
            for kind, spoil in (("clean", lambda image: image), ("degraded", degraded)):
                title = f"{small} -> {small * 4}, {kind}"
                results[title] = quality(covers, small, spoil, engines)
                print(f"\n{title}, {len(covers)} held-out covers{'PSNR':>14}{'SSIM':>9}{'ST-LPIPS':>11}{'ms':>9}")
                for name, row in results[title].items():
                    print(f"  {name:<40}{row['psnr']:14.2f}{row['ssim']:9.4f}{row['st_lpips']:11.4f}{row['ms']:9.1f}")
    else:
        print("quality is left out: there are no covers in ../shared")
    results["card"] = {name: lines_and_flats(engine) for name, engine in engines.items()}
    print("\ntest card 64 -> 256, in bytes    worst in flat fields    mean along edges")
    for name, row in results["card"].items():
        print(f"  {name:<30}{row['flat_worst']:22.1f}{row['edge_mean']:20.1f}")
    results["seconds"] = {name: speed(pipe, name) for name in ("bundled", "lanczos")}
    for name, row in results["seconds"].items():
        print(f"\n{name}: " + ", ".join(f"128 px {size}: {seconds:.2f} s" for size, seconds in row.items()))
    print(f"peak memory of all of this: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    if arguments.picture:
        side_by_side(pipe, range(6)).save(arguments.picture, quality=88)
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2, default=float) + "\n")


if __name__ == "__main__":
    main()
