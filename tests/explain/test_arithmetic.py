"""The arithmetic of a convolution, against torch itself."""

from itertools import product

import pytest
import torch

from album_gan.cli.main import main
from album_gan.explain.arithmetic import Convolution


@pytest.mark.parametrize("transposed", [False, True])
def test_every_small_setting_agrees_with_torch(transposed):
    possible = 0
    for size, kernel, stride, padding, output_padding in product(
        (1, 2, 5, 8), (1, 2, 3, 5), (1, 2, 3), (0, 1, 3), (0, 1)
    ):
        picture, weight = torch.zeros(1, 1, size, size), torch.zeros(1, 1, kernel, kernel)
        settings = {"size": size, "kernel": kernel, "stride": stride, "padding": padding}
        try:
            if transposed:
                result = torch.nn.functional.conv_transpose2d(
                    picture, weight, None, stride, padding, output_padding
                ).shape[-1]
                result = result if output_padding < stride or not output_padding else 0
            else:
                result = torch.nn.functional.conv2d(picture, weight, None, stride, padding).shape[-1]
                result = 0 if output_padding else result
        except RuntimeError:
            result = 0
        if result:
            found = Convolution(**settings, output_padding=output_padding, transposed=transposed)
            assert found.output == result
            assert found.formula.endswith(f"= {result}")
            possible += 1
        else:
            with pytest.raises(ValueError, match=r"padding|kernel"):
                Convolution(**settings, output_padding=output_padding, transposed=transposed)
    assert possible > 50


def test_what_is_impossible_is_said_with_the_way_out(capsys):
    assert main(["shapes", "--conv", "64,5,2,2"]) == 0
    assert "floor((64 - 5 + 2 x 2) / 2) + 1 = 32" in capsys.readouterr().out
    assert main(["shapes", "--conv", "3,5"]) == 2
    assert "use a smaller kernel, or a padding of at least 1" in capsys.readouterr().err
    assert main(["shapes", "--conv", "4,3,2,0,2", "--transposed"]) == 2
    assert "output_padding must be less than the stride 2, got 2" in capsys.readouterr().err
    assert main(["shapes", "--conv", "4,4,2,100", "--transposed"]) == 2
    assert "use at most 4" in capsys.readouterr().err
    assert main(["shapes", "--conv", "4,4,2,4", "--transposed"]) == 0
    assert main(["shapes", "--conv", "64,70000"]) == 2
    assert "kernel must be from 1 to 65,536, got 70,000; this calculator goes no further" in capsys.readouterr().err
    assert main(["shapes", "--conv", "x"]) == 2
    assert main(["shapes"]) == 2
    assert main(["shapes", "nope"]) == 2
    assert "recipe must be one of" in capsys.readouterr().err


def test_pixels_left_over_are_counted():
    [remark] = Convolution(size=64, kernel=5, stride=2, padding=2).remarks
    assert "the last padded pixel is never used" in remark
    assert "the last 2 padded pixels are" in " ".join(Convolution(size=64, kernel=2, stride=3, padding=0).remarks)


def test_padding_as_large_as_the_kernel_shows_zeros_to_a_convolution_only():
    """That of a transposed one crops its output."""
    settings = {"size": 8, "kernel": 2, "stride": 1, "padding": 2}
    assert "sees only zeros" in " ".join(Convolution(**settings).remarks)
    assert Convolution(**settings, transposed=True).remarks == []


def test_the_table_and_the_drawing(tmp_path, capsys):
    drawing = tmp_path / "a" / "infogan.svg"
    assert main(["shapes", "infogan", "--resolution", "32", "--svg", str(drawing)]) == 0
    text = capsys.readouterr().out
    assert "512 x 4 x 4" in text
    assert "(4 - 1) x 2 - 2 x 1 + 4 = 8" in text
    assert "4,005,635" in text
    svg = drawing.read_text(encoding="utf-8")
    for shape in ("512 x 4 x 4", "256 x 8 x 8", "128 x 16 x 16", "3 x 32 x 32"):
        assert svg.count(shape) >= 1
    assert "4,005,635 parameters" in svg
    (tmp_path / "file").touch()
    for words, error in (
        (["infogan", "--svg", str(tmp_path / "x.png")], "svg must end in .svg"),
        (["infogan", "--svg", str(tmp_path / "file" / "x.svg")], "svg must be in a folder, but"),
        (["--conv", "64,5", "--svg", str(tmp_path / "y.svg")], "svg is of a recipe's networks"),
        (["--conv", "64,5", "--resolution", "64"], "resolution is of a recipe's networks"),
        (["infogan", "--transposed"], "transposed needs --conv"),
    ):
        assert main(["shapes", *words]) == 2
        assert error in capsys.readouterr().err
    assert main(["shapes", "vanilla", "--resolution", "128"]) == 2
    assert "choose 64" in capsys.readouterr().err
