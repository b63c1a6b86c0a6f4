"""Autoscaling policies against recorded traffic, without a cluster."""
