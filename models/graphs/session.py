"""Sessions of ONNX Runtime on the CPU, the same for graphs of ours and graphs of others.

No library of operators is loaded into them, and options in the graph's metadata are ignored.
"""

import os
from pathlib import Path
from typing import Any

from models.graphs.errors import needed


def session(graph: bytes | Path, threads: int) -> Any:
    """Open an `onnxruntime.InferenceSession`; raise `InstallationError`, and what ONNX Runtime
    raises."""
    # its official builds report to their makers unless told not to, before they are imported
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    onnxruntime: Any = needed("onnxruntime")  # seconds are saved where it isn't wanted
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised; nothing is written beside the log
    options.enable_mem_pattern = False  # it plans a block of memory for each size of batch
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        graph if isinstance(graph, bytes) else str(graph),  # a file is not held in memory twice
        options,
        providers=["CPUExecutionProvider"],
    )


def give_back(session: Any) -> None:
    """Release the memory that the session keeps for later runs; to do so, run it on one image."""
    onnxruntime: Any = needed("onnxruntime")
    import numpy as np

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    inputs = {
        each.name: np.zeros(
            [n if isinstance(n, int) else 1 for n in each.shape],
            np.uint8 if each.type == "tensor(uint8)" else np.float32,
        )
        for each in session.get_inputs()
    }
    session.run(None, inputs, options)
