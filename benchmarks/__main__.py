"""`python -m benchmarks NAME`: the measurements behind what the docs say about speed."""

import runpy
import sys

NAMES = {
    "serve": "the service beside its limit, a bare echo and a tutorial's server",
    "overload": "answers and delays where more is asked than can be answered",
    "simulate": "do autoscaled instances keep up where requests double? simulated",
    "ray": "the service on Ray beside --workers: rate, and processor time of a request",
    "scaling": "what decoding JPEGs at a part of their size changes",
    "training": "an epoch, Fanlight's way against the usual way",
    "few_photographs": "what `fit` reaches with 5 to 124 photographs a class, beside from scratch",
    "calibration": "what the probabilities, sets and familiarity of the shipped models keep",
    "strangers": "how well a model tells strangers of several kinds from its own images",
    "as_taken": "how often the shipped models are right on images as people take them",
    "photographs": "how often it is on photographs: cut out, as a panorama, strongly compressed",
    "features": "what feature maps cost beside predictions",
    "inspecting": "what explanations and feature maps cost beside a prediction, at two commits",
    "telemetry": "what metrics, statistics and class counts cost a request",
    "event_loop": "the largest work that runs on the event loop, beside a thread",
    "explaining": "what explanations cost those who predict",
    "score": "what `fanlight score` costs beside decoding and forward passes",
    "soak": "a million mixed requests with faults all the time: what breaks, and what grows",
}


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        print("python -m benchmarks NAME [--help], where NAME is one of")
        for name, about in NAMES.items():
            print(f"  {name:18}{about}")
        return 2
    name = sys.argv.pop(1)
    runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
