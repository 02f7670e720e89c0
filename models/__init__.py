"""What training and service share: architectures, preprocessing, checkpoints, feature capture."""
