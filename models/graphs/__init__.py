"""ONNX graphs from any framework: bytes → checked graph → a network that ONNX Runtime runs.

    wire.check:        bytes, before they are parsed
    parsing.parse:     bytes → graph; refused if it has what a classifier of images doesn't need
    interface.adapted: a foreign graph → image (N, C, H, W) in, logits (N, num_classes) out
    trial.check:       a first run of the graph, in a process of its own
    network.load:      the graph of a published version → `OnnxNetwork`

onnx and onnxruntime are imported on first use, since torch alone is enough for other networks.
"""
