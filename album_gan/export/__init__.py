"""Exporting models for use without this package: ONNX for other programs, one HTML file for any browser."""
