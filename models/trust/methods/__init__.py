"""Methods that measure how strange an image is: one method a file, which registers itself.

A method is fitted on images that were trained on, and returns a module: logits (N, K) and features
(N, D) → statistic (N,), float32, larger for stranger images. The module has buffers only, of
float32, which are its tensors in the file. It uses only operators that ONNX has.
"""
