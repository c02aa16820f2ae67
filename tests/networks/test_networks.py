"""Every network: forward, gradients, save, reload in a fresh process."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from album_gan.inference.model_store import load_network
from album_gan.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from album_gan.networks.lite_generator import GroupedBatchNorm2d, LiteGenerator, UpsampleConv
from album_gan.networks.projected_discriminator import (
    EfficientNetLite,
    MinibatchDeviation,
    ProjectedDiscriminator,
    StridedFilter,
    groups_of,
)
from album_gan.networks.r3gan import GroupedConv, GroupedConv2d
from album_gan.recipes.projected import deinterleave, interleave
from album_gan.training.packaging import may_be_new

GENERATORS = [
    (LiteGenerator, {"resolution": 32}),
    (LiteGenerator, {"resolution": 128}),
    (LiteGenerator, {"resolution": 512}),
    (DCGANGenerator, {"resolution": 32, "width": 64}),
    (DCGANGenerator, {"resolution": 128, "width": 64}),
]
DISCRIMINATORS = [
    (DCGANDiscriminator, {"resolution": 32, "width": 64}, 32),
    (DCGANDiscriminator, {"resolution": 128, "width": 64}, 128),
    (ProjectedDiscriminator, {"input_size": 128}, 64),
    (ProjectedDiscriminator, {"input_size": 192}, 128),
]


@pytest.mark.parametrize(("network_class", "config"), GENERATORS)
def test_generators_draw_and_learn(network_class, config):
    torch.manual_seed(0)
    generator = network_class(**config)
    z = torch.randn(2, generator.config.latent_dim)
    images = generator(z)
    assert images.shape == (2, 3, config["resolution"], config["resolution"])
    assert images.abs().max() <= 1
    assert images.std() > 0.001
    assert generator.embed(z).shape == (2, *generator.stem_mean.shape)
    images.square().sum().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_latents_matter_more_than_labels_at_first():
    """Else a classic learns one cover for each class, whatever the seed."""
    torch.manual_seed(0)
    generator = DCGANGenerator(32, width=64, classes=[f"class {n}" for n in range(20)])
    z, labels = torch.randn(16, generator.config.latent_dim), torch.arange(20)
    with torch.no_grad():
        stems = generator.embed(z.repeat_interleave(20, 0), labels.repeat(16)).unflatten(0, (16, 20))
    assert stems.var(0).mean() > 4 * stems.var(1).mean()


@pytest.mark.parametrize("added", [{"refined_from": 32}, {"modulated": True}], ids=lambda added: next(iter(added)))
def test_what_is_added_to_a_generator_changes_nothing_until_it_learns(added):
    torch.manual_seed(0)
    plain, larger = LiteGenerator(64).eval(), LiteGenerator(64, **added).eval()
    found = larger.load_state_dict(plain.state_dict(), strict=False)
    assert found.missing_keys
    assert all(may_be_new(key) for key in found.missing_keys)
    assert not any(may_be_new(key) for key in plain.state_dict())
    z = torch.randn(2, 128)
    images = plain(z)
    assert torch.equal(larger(z), images)
    assert added.items() <= larger.config.items()

    larger.train()
    optimizer = torch.optim.SGD(larger.parameters(), 1e-3)
    for _ in range(2):  # what comes before a zero learns from the second step on
        optimizer.zero_grad()
        larger(z).square().mean().backward()
        optimizer.step()
    for name, parameter in larger.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    assert not torch.equal(larger.eval()(z), images)


@pytest.mark.parametrize("config", [{}, {"refined_from": 32, "modulated": True}], ids=["plain", "modulated"])
def test_layers_keep_the_layout_that_training_chose(config):
    """In another one, BatchNorm's gradient alone takes six times as long on CPUs."""
    torch.manual_seed(0)
    generator = LiteGenerator(64, **config).to(memory_format=torch.channels_last)
    layouts = {}
    for name, module in generator.named_modules():
        if name and not name.startswith("stem"):  # too small for a difference
            module.register_forward_hook(lambda _, __, output, name=name: layouts.setdefault(name, output))
    generator(torch.randn(4, 128))
    maps = {name: output for name, output in layouts.items() if output.ndim == 4 and output.shape[-1] > 4}
    assert len(maps) > 10
    assert [name for name, output in maps.items() if not output.is_contiguous(memory_format=torch.channels_last)] == []


def modulated() -> LiteGenerator:
    """A generator whose modulation does something."""
    torch.manual_seed(0)
    generator = LiteGenerator(64, modulated=True).eval().requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith("amounts.weight"):
            parameter.normal_(std=0.1)
    return generator


def test_modulation_lets_a_level_differ_from_place_to_place():
    """A convolution draws the same wherever its input is the same, except near the border."""
    flat, middle = torch.ones(1, 256, 4, 4), slice(30, 34)
    plain, spread = (
        generator.paint(flat)[0, :, middle, middle].std((1, 2)).mean()
        for generator in (LiteGenerator(64).eval().requires_grad_(False), modulated())
    )
    assert plain < 1e-5
    assert spread > 0.01


def test_a_style_modulates_fine_levels_and_leaves_coarse_ones_alone():
    generator = modulated()
    own, style = generator.embed(torch.randn(2, 128)).split(1)
    taken = {}
    for level in ("8", "16", "32", "64"):
        block = generator.blocks[level]
        block.register_forward_hook(lambda _, given, __, level=level: taken.setdefault(level, []).append(given[1]))
    generator.paint(own, style)
    codes = generator._code(own), generator._code(style)
    assert [torch.equal(taken[level][0], codes[0]) for level in taken] == [True, True, False, False]
    assert [torch.equal(taken[level][0], codes[1]) for level in taken] == [False, False, True, True]
    assert torch.equal(generator.paint(own, own), generator.paint(own))


@pytest.mark.parametrize(("network_class", "config", "resolution"), DISCRIMINATORS)
def test_discriminators_judge_and_learn(network_class, config, resolution):
    torch.manual_seed(0)
    discriminator = network_class(**config)
    images = torch.rand(2, 3, resolution, resolution, requires_grad=True)
    logits = discriminator(images)
    assert logits.shape[0] == 2
    assert logits.ndim == 2
    logits[0].sum().backward()
    assert images.grad.abs().sum() > 0
    for name, parameter in discriminator.named_parameters():
        frozen = "mixing" in name
        assert parameter.requires_grad != frozen, name
        assert frozen or parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("network_class", "config"), [*GENERATORS[:1], *GENERATORS[3:4]])
def test_generators_survive_a_fresh_process(network_class, config, tmp_path):
    generator = network_class(**config).eval()
    generator.save_pretrained(tmp_path)
    z = torch.ones(1, generator.config.latent_dim)
    np.save(tmp_path / "z.npy", z.numpy())
    script = (
        "import sys, numpy, torch\n"
        "from pathlib import Path\n"
        "from album_gan.inference.model_store import load_network\n"
        "folder = sys.argv[1]\n"
        "z = torch.from_numpy(numpy.load(folder + '/z.npy'))\n"
        "numpy.save(folder + '/out.npy', load_network(Path(folder), 'paint').eval()(z).numpy())\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, capture_output=True)
    expected = generator(z).detach().numpy()
    assert np.abs(np.load(tmp_path / "out.npy") - expected).max() < 1e-5


def test_discriminator_survives_saving(tmp_path):
    discriminator = ProjectedDiscriminator(input_size=128).eval()
    discriminator.save_pretrained(tmp_path)
    again = load_network(tmp_path, "forward").eval()
    images = torch.rand(1, 3, 64, 64)
    assert torch.allclose(discriminator(images), again(images), atol=1e-5)
    size = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    assert size < 6e6, "the frozen backbone must not be saved: it comes from its own package"


def test_directions_of_heads_have_a_loss_of_their_own():
    """SAN: scores train all of a head but its last layer, which the gap between real and fake trains alone."""
    discriminator = ProjectedDiscriminator(input_size=128, san=True)
    features = discriminator.features(torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    directions = [head[-1].weight for head in discriminator.heads]
    others = [weight for weight in discriminator.heads.parameters() if all(weight is not one for one in directions)]

    discriminator.judge(features).square().mean().backward()
    assert all(weight.grad is None for weight in directions)
    assert all(weight.grad is not None for weight in others)
    discriminator.zero_grad()
    hidden = discriminator.hidden(features)
    real_score, fake_score = discriminator.direction_scores(hidden).chunk(2)
    before = fake_score.mean() - real_score.mean()
    before.backward()
    assert all(weight.grad is None for weight in others)
    assert all(weight.grad.abs().sum() > 0 for weight in directions)
    real, fake = discriminator.score(hidden).chunk(2)
    assert before.item() == pytest.approx((fake.mean() - real.mean()).item(), abs=1e-5)

    scale = 3.0  # of a kernel, which is a direction only
    with torch.no_grad():
        for weight in directions:
            weight.mul_(scale)
    torch.testing.assert_close(discriminator.score(hidden), torch.cat([real, fake]))


def test_a_second_network_judges_beside_the_first(tmp_path):
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)).clamp(-1, 1).requires_grad_()
    both = ProjectedDiscriminator(input_size=128, classes=("jazz", "rock"), second_network=True).eval()
    alone = ProjectedDiscriminator(input_size=128, classes=("jazz", "rock")).eval()
    alone.load_state_dict({key: value for key, value in both.state_dict().items() if not key.startswith("second.")})
    for label in both.second.labels:
        torch.nn.init.normal_(label.weight)
    labels = torch.tensor([1, 2])

    logits = both(images, labels)
    first, second = logits.chunk(2, dim=1)  # both look at 128 px
    torch.testing.assert_close(first, alone(images, labels))
    torch.testing.assert_close(second, both.second(images, labels))
    assert not torch.allclose(second, both.second(images, labels.flip(0)), atol=1e-3)
    (gradient,) = torch.autograd.grad(second.sum(), images)
    assert gradient.abs().max() > 0
    assert [len(backbone.blocks) for backbone in both.backbones] == [16, 21]

    both.save_pretrained(tmp_path)
    again = load_network(tmp_path, "forward").eval()
    torch.testing.assert_close(again(images, labels), logits)
    assert sum(path.stat().st_size for path in tmp_path.glob("*.safetensors")) < 12e6, "no backbone is saved"


def test_heads_trained_under_spectral_norm_go_on_as_directions():
    old = ProjectedDiscriminator(input_size=128)
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for _ in range(3):
            old(images)  # the power iteration of the spectral norms settles
        new = ProjectedDiscriminator(input_size=128, san=True)
        new.load_state_dict(old.state_dict())
        torch.testing.assert_close(new.eval()(images), old.eval()(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [4, 16, 20])
def test_upsample_conv_is_nearest_and_3x3(size):
    torch.manual_seed(0)
    layer = UpsampleConv(5, 3)
    x = torch.randn(2, 5, size, size)
    plain = F.conv2d(F.interpolate(x, scale_factor=2.0), layer.weight, padding=1)
    assert torch.allclose(layer(x), plain, atol=1e-5)


GOLDEN = {
    "lite0": (128, (24, 40, 112, 320), [0.898763, -0.311742, 0.15812, 0.078199], 0.261115),
    "lite1": (240, (24, 40, 112, 320), [3.479134, -0.875373, -0.193432, -0.006804], 0.16043),
    "lite2": (260, (24, 48, 120, 352), [-0.771234, -0.27153, -0.346313, 0.10403], 0.138747),
}


@pytest.mark.parametrize("variant", GOLDEN)
def test_backbone_knows_pictures(variant):
    """Golden numbers of the networks on a fixed picture, at a size at which the package's own padding is ours.

    They match `efficientnet-lite-pytorch` 0.1.0 to 1e-4.
    """
    size, widths, golden_means, golden_summary = GOLDEN[variant]
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    picture = torch.stack([torch.sin(5 * x), torch.cos(7 * y), torch.sin(3 * x * y)])[None]
    backbone = EfficientNetLite(variant)
    features = backbone(picture)
    sides = [-(-size // scale) for scale in (4, 8, 16, 32)]
    shapes = [tuple(feature.shape[1:]) for feature in features]
    assert shapes == [(channels, side, side) for channels, side in zip(widths, sides, strict=True)]
    assert [feature.mean().item() for feature in features] == pytest.approx(golden_means, abs=1e-4)
    summary = backbone.summary(features)
    assert summary.shape == (1, 1280)
    assert summary.mean().item() == pytest.approx(golden_summary, abs=1e-4)


@pytest.mark.parametrize("network_class", [LiteGenerator, DCGANGenerator, DCGANDiscriminator])
def test_resolution_must_be_known(network_class):
    with pytest.raises(ValueError, match=r"resolution must be.*got 100; .*choose"):
        network_class(resolution=100)


def test_images_are_enlarged_twice_at_most():
    discriminator = ProjectedDiscriminator(input_size=192)
    widths = [discriminator.features(torch.rand(1, 3, size, size))[0].shape[-1] for size in (32, 64, 128, 256)]
    assert widths == [64, 64, 96, 96]  # half of 128, the least that fits, or of 192


def test_input_size_must_fit_the_backbone():
    with pytest.raises(ValueError, match=r"discriminator_size, must be a multiple of 32 from 128 on, got 100"):
        ProjectedDiscriminator(input_size=100)


@pytest.mark.parametrize(("batch", "group"), [(16, 8), (8, 4), (12, 6), (66, 3), (5, 1), (2, 1), (1, 1)])
def test_how_different_neighbours_are(batch, group):
    """Groups lie within a half of the batch: what differs between the halves only is not seen."""
    halves = torch.arange(batch).ge(batch // 2).float()[:, None, None, None].expand(-1, 3, 2, 2)
    shown = MinibatchDeviation()(halves)
    assert shown.shape == (batch, 4, 2, 2)
    assert torch.equal(shown[:, :3], halves)
    torch.testing.assert_close(shown[:, 3], torch.full((batch, 2, 2), 1e-4), rtol=1e-3, atol=0)
    grain = torch.randn(batch, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    expected = (grain[:group].var(0, unbiased=False) + 1e-8).sqrt().mean()
    torch.testing.assert_close(MinibatchDeviation()(grain)[0, 3, 0, 0], expected)


@pytest.mark.parametrize("images", [32, 64, 96, 70])
def test_a_large_batch_is_the_game_of_several_small_ones(images):
    """BatchNorm and the batch's deviation take groups of 32 real and 32 fake images, each as if it were alone."""
    random = torch.Generator().manual_seed(1)
    discriminator = ProjectedDiscriminator(input_size=128).eval()
    for norm in (module for module in discriminator.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.train()  # but not the spectral norms, which take a step in each forward
    sizes = [(channels, 128 // scale) for channels, scale in zip((32, 32, 64, 128), (2, 4, 8, 16), strict=True)]
    real, fake = ([torch.randn(images, c, s, s, generator=random) for c, s in sizes] for _ in range(2))
    with torch.no_grad():
        whole = deinterleave(discriminator.judge([interleave(*pair) for pair in zip(real, fake, strict=True)]))
        groups = groups_of(images)
        small = [
            deinterleave(discriminator.judge([interleave(*pair) for pair in zip(r, f, strict=True)]))
            for r, f in zip(*(zip(*(x.chunk(groups) for x in side), strict=True) for side in (real, fake)), strict=True)
        ]
    for side in range(2):
        torch.testing.assert_close(whole[side], torch.cat([part[side] for part in small]), rtol=1e-4, atol=1e-4)


def test_the_generators_batch_norm_takes_groups_too():
    norm = GroupedBatchNorm2d(3)
    x = torch.randn(64, 3, 4, 4, generator=torch.Generator().manual_seed(0)) + torch.arange(64).view(-1, 1, 1, 1)
    first, second = norm(x).chunk(2)
    assert abs(first.mean().item()) < 1e-5
    assert abs(second.mean().item()) < 1e-5
    assert norm.num_batches_tracked == 2
    torch.testing.assert_close(norm(x[:40]), torch.nn.BatchNorm2d(3)(x[:40]))  # less than two groups are one


def test_the_gradient_of_a_strided_filter_is_torchs_own():
    weights = torch.randn(6, 1, 5, 5, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    for size in (11, 12):
        x = torch.randn(2, 6, size, size, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x: StridedFilter.apply(x, *weights, 2), (x,))
        torch.testing.assert_close(StridedFilter.apply(x, *weights, 2), F.conv2d(x, *weights, stride=2, groups=6))


def test_a_frozen_network_held_in_bf16_sees_what_autocast_sees():
    discriminator = ProjectedDiscriminator(input_size=128)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        before = discriminator.features(images)
        discriminator.hold_frozen_in(torch.bfloat16)
        after = discriminator.features(images)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_grouped_convolution_has_torchs_derivatives():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 4, 4, dtype=torch.float64, generator=random, requires_grad=True)
    conv = GroupedConv2d(6, 6, 3, padding=1, groups=3, bias=False).double()
    torch.testing.assert_close(conv(x), F.conv2d(x, conv.weight, padding=1, groups=3))
    assert torch.autograd.gradcheck(lambda x, w: GroupedConv.apply(x, w, 3), (x, conv.weight))
    assert torch.autograd.gradgradcheck(lambda x, w: GroupedConv.apply(x, w, 3), (x, conv.weight))
