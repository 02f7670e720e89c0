"""What the values inside a network show of its functions: saturation, dropout."""
