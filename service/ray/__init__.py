"""The service on a Ray cluster: settings → an application of Ray Serve → replicas on the nodes.

Ray is imported by `service.ray.application`, and by `service.ray.cluster` inside functions.
"""
