"""Instances behind a load balancer, and the autoscaler that adds some: simulated event by event."""
