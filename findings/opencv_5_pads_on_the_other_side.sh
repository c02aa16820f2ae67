#!/bin/sh
# opencv-python-headless 5.0.0.93: a network that `cv2.dnn.readNetFromONNX` reads gives other numbers than in 4.14.0.94
# and in onnxruntime 1.32.0, if it has `auto_pad="SAME_UPPER"`, TensorFlow's and Keras's padding="same", where a layer
# halves the picture. A kernel of 3 or 5 with stride 2 needs an uneven number of pixels at an even size, and the one too
# many belongs to the right and to the bottom. 5.0.0 puts it to the left and to the top, as for "SAME_LOWER": it pads by
# (kernel - 1) // 2 in front, whatever size and name say, in convolutions and poolings, with both of its engines
# (`ENGINE_CLASSIC` and `ENGINE_NEW`). So each layer looks one pixel aside; four in a row move by 15. All shapes are right,
# nothing is raised or logged, and a critic's or a classifier's scores are plausible and wrong. At an uneven size, or with
# a kernel of 2 or 4, it is the other way round, "SAME_LOWER" comes out as "SAME_UPPER". tf2onnx names the padding so where
# height or width is unknown (`add_padding` in onnx_opset/nn.py), and else counts the pixels out, which is read rightly.
# Two more that 5.0.0 takes without a word: Resize with antialias=1, which torch's exporter (dynamo=True) writes for
# `F.interpolate(..., antialias=True)`, is resized without, so that what stands before a feature network is aliased (4.14
# refuses); and GridSample's "bicubic", right to the last pixel with "bilinear", is neither PyTorch's cubic (-0.75) nor
# the one of -0.5 (4.14 has no GridSample). A search of the issues found none about these in OpenCV; that other runtimes
# ignore antialias is known (OpenVINO's issue 35893, TensorRT's 3560).
#
# Guess beforehand: of some 120 operators at least one is silently wrong, at 75%, among the ways of resizing,
# GridSample, transposed convolutions' output padding, reversed running sums and mirrored padding. (Resizing and GridSample
# were right guesses, the other three are right in OpenCV; of convolutions, pooling and `auto_pad` there was no idea.)
# Seen, largest difference to onnxruntime: convolution of 3, stride 2, 64 px, SAME_UPPER: 4.14 0.00, 5.0 34; the same pixels
# written as pads 0.00 by both. Scores of 64 smooth pictures by an untrained critic of four such layers: correlation with
# onnxruntime's 1.00 and 0.22. 5.0 alone: Resize with antialias to a quarter 0.37 (linear) and 0.66 (cubic) of pixels from
# 0 to 1, and 0.00 from Resize without it; GridSample bilinear 0.00, bicubic 0.19.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 4.14.0.94 5.0.0.93; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "opencv-python-headless==$version" \
        numpy==2.3.5 onnx==1.23.2 onnxruntime==1.32.0
done
cd "$folder"
cat > compare.py <<'PYTHON'
import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

NEW = int(cv2.__version__[0]) >= 5
node, random = helper.make_node, np.random.default_rng(0)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
cv2.setNumThreads(1)


def built(nodes, shape, **constants):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    return onnx.shape_inference.infer_shapes(model).SerializeToString()


def by_onnxruntime(model, x):
    return onnxruntime.InferenceSession(model, options).run(None, {"x": x})[0]


def by_opencv(model, x, *engine):
    network = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8), *engine)
    network.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    network.setInput(x)
    return network.forward()


def refused(model, x):
    try:
        by_opencv(model, x)
    except cv2.error:
        return True
    return False


def farthest(one, other):
    assert one.shape == other.shape
    return float(abs(one - other).max())


print("OpenCV", cv2.__version__)
for kernel in (3, 4, 5):
    for size in (64, 65):
        x = random.normal(size=(1, 3, size, size)).astype(np.float32)
        weight = random.normal(size=(8, 3, kernel, kernel)).astype(np.float32)
        number = max(0, (-(-size // 2) - 1) * 2 + kernel - size)
        upper = [number // 2] * 2 + [number - number // 2] * 2
        for kind, inputs, fixed in (
            ("Conv", ["x", "w"], {}),
            ("MaxPool", ["x"], {"kernel_shape": [kernel] * 2}),
            ("AveragePool", ["x"], {"kernel_shape": [kernel] * 2}),
        ):
            constants = {"w": weight} if kind == "Conv" else {}
            model, lower, counted = (
                built([node(kind, inputs, ["y"], strides=[2, 2], **fixed, **how)], x.shape, **constants)
                for how in ({"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"}, {"pads": upper})
            )
            right, right_lower, found = by_onnxruntime(model, x), by_onnxruntime(lower, x), by_opencv(model, x)
            print(f"{kind} of {kernel}, {size} px: SAME_UPPER {farthest(found, right):.2f}", end=", ")
            print(f"counted out {farthest(by_opencv(counted, x), by_onnxruntime(counted, x)):.2f}")
            assert farthest(by_onnxruntime(counted, x), right) < 1e-3
            assert farthest(by_opencv(counted, x), right) < 1e-3
            mistaken = NEW and kernel % 2 and size % 2 == 0
            assert (farthest(found, right) > 0.3) == bool(mistaken)
            if mistaken:
                assert farthest(found, right_lower) < 1e-3
                for engine in (cv2.dnn.ENGINE_CLASSIC, cv2.dnn.ENGINE_NEW):
                    assert farthest(by_opencv(model, x, engine), right_lower) < 1e-3
            if NEW and kernel == 4 and size == 65:
                assert farthest(by_opencv(lower, x), right) < 1e-3 and farthest(right_lower, right) > 0.3

nodes, weights, last, width = [], {}, "x", 3
for number in range(4):
    weights[f"w{number}"] = (random.normal(size=(32, width, 3, 3)) / (3 * width**0.5)).astype(np.float32)
    nodes.append(node("Conv", [last, f"w{number}"], [f"c{number}"], strides=[2, 2], auto_pad="SAME_UPPER"))
    nodes.append(node("LeakyRelu", [f"c{number}"], [f"a{number}"], alpha=0.2))
    last, width = f"a{number}", 32
weights["out"] = random.normal(size=(32 * 16, 1)).astype(np.float32)
nodes += [node("Flatten", [last], ["flat"]), node("MatMul", ["flat", "out"], ["y"])]
pictures = np.stack([cv2.resize(random.normal(size=(12, 12, 3)), (64, 64)).transpose(2, 0, 1) for _ in range(64)])
pictures = pictures.astype(np.float32)
critic = built(nodes, pictures.shape, **weights)
scores, found = by_onnxruntime(critic, pictures).ravel(), by_opencv(critic, pictures).ravel()
correlation = float(np.corrcoef(scores, found)[0, 1])
print(f"scores of a critic, correlation with onnxruntime's: {correlation:.2f}")
assert correlation < 0.95 if NEW else correlation > 0.9999

picture = random.random((1, 3, 64, 64)).astype(np.float32)
scales = np.array([1, 1, 0.25, 0.25], np.float32)
for mode in ("linear", "cubic"):
    smooth, plain = (
        built([node("Resize", ["x", "", "s"], ["y"], mode=mode, antialias=antialias)], picture.shape, s=scales)
        for antialias in (1, 0)
    )
    if not NEW:
        print("Resize,", mode, "with antialias: refused:", refused(smooth, picture))
        assert refused(smooth, picture)
        continue
    found = by_opencv(smooth, picture)
    wrong, ignored = farthest(found, by_onnxruntime(smooth, picture)), farthest(found, by_onnxruntime(plain, picture))
    print(f"Resize, {mode} with antialias: {wrong:.2f}, to Resize without it {ignored:.2f}")
    assert wrong > 0.2 and ignored < 1e-3
places = random.uniform(-0.8, 0.8, size=(1, 32, 32, 2)).astype(np.float32)
for mode in ("bilinear", "bicubic"):
    sampled = built([node("GridSample", ["x", "g"], ["y"], mode=mode)], picture.shape, g=places)
    if not NEW:
        assert refused(sampled, picture)
        continue
    difference = farthest(by_opencv(sampled, picture), by_onnxruntime(sampled, picture))
    print(f"GridSample, {mode}: {difference:.2f}")
    assert difference > 0.05 if mode == "bicubic" else difference < 1e-3
PYTHON
OMP_NUM_THREADS=1 "$folder/4.14.0.94/bin/python" compare.py 2> messages || { cat messages; exit 1; }
OMP_NUM_THREADS=1 "$folder/5.0.0.93/bin/python" compare.py 2> messages || { cat messages; exit 1; }
