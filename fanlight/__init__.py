"""The command `fanlight`: one program for training and for the service."""
