"""Backbones, necks, the head, and the Detector that joins them (`detector.network.detector`)."""
