"""Generators, discriminators and the upscaler, one file per GAN."""
