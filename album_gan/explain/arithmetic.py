"""The arithmetic of one convolution: its output size, or why it is impossible.

For size W, kernel F, stride S and padding P, a convolution's output size is floor((W - F + 2P) / S) + 1. A transposed
convolution's is (W - 1) S - 2P + F + Q, where the output padding Q selects one of the S input sizes that a convolution
maps to W (Dumoulin and Visin 2016, arXiv:1603.07285).
"""

from dataclasses import dataclass

LARGEST = 65_536  # of every setting: more is a typo


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """The settings of one convolution along one axis, in pixels. Raises ValueError for impossible settings."""

    size: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    transposed: bool = False

    def __post_init__(self) -> None:
        for name, least in {"size": 1, "kernel": 1, "stride": 1, "padding": 0, "output_padding": 0}.items():
            value = getattr(self, name)
            if not least <= value <= LARGEST:
                why = _why(name) if value < least else "this calculator goes no further"
                raise ValueError(f"{name} must be from {least} to {LARGEST:,}, got {value:,}; {why}")
        if not self.transposed and self.output_padding:
            raise ValueError(
                f"output_padding must be 0 for a convolution, got {self.output_padding}; only a transposed convolution "
                "has one"
            )
        if self.output_padding and self.output_padding >= self.stride:
            raise ValueError(
                f"output_padding must be less than the stride {self.stride}, got {self.output_padding}; it selects "
                "one of the sizes that a convolution of this stride maps to the same output size, and there are no more"
            )
        if self.output < 1:
            room = f"{self.size} + 2 x {self.padding} = {self.size + 2 * self.padding} pixels"
            if self.transposed:
                most = (self.output + 2 * self.padding - 1) // 2
                raise ValueError(f"padding {self.padding} removes the whole output; use at most {most}")
            raise ValueError(
                f"a kernel of {self.kernel} does not fit into {room}; use a smaller kernel, or a padding of at least "
                f"{(self.kernel - self.size + 1) // 2}"
            )

    @property
    def output(self) -> int:
        """The output size, in pixels."""
        if self.transposed:
            return (self.size - 1) * self.stride - 2 * self.padding + self.kernel + self.output_padding
        return (self.size - self.kernel + 2 * self.padding) // self.stride + 1

    @property
    def formula(self) -> str:
        """The arithmetic, with the numbers filled in: "(64 - 5 + 2 x 2) / 2 + 1 = 32"."""
        if self.transposed:
            more = f" + {self.output_padding}" if self.output_padding else ""
            return f"({self.size} - 1) x {self.stride} - 2 x {self.padding} + {self.kernel}{more} = {self.output}"
        quotient = f"({self.size} - {self.kernel} + 2 x {self.padding}) / {self.stride}"
        if self._left_over:
            quotient = f"floor({quotient})"
        return f"{quotient} + 1 = {self.output}"

    @property
    def _left_over(self) -> int:
        return (self.size - self.kernel + 2 * self.padding) % self.stride

    @property
    def remarks(self) -> list[str]:
        """Notes about valid but unusual settings, a sentence each."""
        found = []
        if not self.transposed and self._left_over:
            last = "last padded pixel is" if self._left_over == 1 else f"last {self._left_over} padded pixels are"
            found.append(f"The stride does not divide the input evenly: the {last} never used.")
        if self.transposed and self.stride > 1 and self.kernel % self.stride:
            found.append(
                f"The stride {self.stride} does not divide the kernel size {self.kernel}: neighbouring output pixels "
                "sum different numbers of products, which can cause checkerboard artifacts."
            )
        if not self.transposed and self.stride > self.kernel:
            found.append("The stride is larger than the kernel: some input pixels are never used.")
        if not self.transposed and self.padding >= self.kernel:
            found.append("The padding is at least as large as the kernel: at the border the kernel sees only zeros.")
        return found


def _why(name: str) -> str:
    return {
        "size": "the input has at least one pixel",
        "kernel": "a kernel has at least one weight",
        "stride": "the kernel has to move",
        "padding": "to make the input smaller, crop it",
        "output_padding": "to make the output smaller, increase the padding",
    }[name]
