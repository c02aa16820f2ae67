"""Networks of generators, discriminators and the upscaler, one GAN a file."""
