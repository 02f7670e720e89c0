"""What may run on the event loop: one policy, with a threshold for each kind of work.

Work on the loop blocks all other requests; work on a thread costs a thread switch in each
direction. So work runs on the loop only in two cases:

- it takes less time than the thread switches;
- there is a single core, where a thread would compete with the loop, and it takes at most a few
  milliseconds.

Work in many small pieces yields to other requests after a number of them.
`python -m benchmarks event_loop` measures the largest work that each threshold allows. The figures
below are from one run on two cores, where the thread switches took 0.1 ms.
"""

# --- forward passes of a runtime that may run in any thread; their time is measured at loading
PASS_SECONDS = 0.0002  # a thread wakes up in half of it, and later where others wait too
PASS_SECONDS_ON_ONE_PROCESSOR = 0.001  # ten times a thread and back
# on one processor, batches become so small that they run on the loop if that costs little
MIN_BATCH_ON_LOOP = 8  # images: a thread and back is then 13 µs an image
MAX_SLOWDOWN_ON_LOOP = 1.1  # of the time an image, beside the best size of a batch

# --- decoding
SMALL_BODY_BYTES = 2**14  # with small PNGs; the largest that `models.images.png` takes: 0.3 ms
QUICK_JPEG_BYTES = 2**17  # a JPEG, on one processor only: 2 ms
QUICK_JPEG_PIXELS = 2**20  # of that JPEG
QUICK_JPEG_HEAD_BYTES = 2**13  # before its pixels; up to 0.5 ms for 1,024 of them
FORM_BYTES = 2**10  # of a form around an image
IMAGES_IN_A_ROW = 4  # small ones, at most 1.2 ms together, before others get their turn

# --- forms
SIMPLE_FORM_BYTES = 2**18  # kept until it is whole, and split at once: 0.25 ms
PARTS_IN_A_ROW = 32  # parsed before others get their turn: 1 ms

# --- tensors of the Open Inference Protocol
INFERENCE_BODY_BYTES = 2**14  # of JSON and binary tensors together; all of numbers in JSON: 0.5 ms
