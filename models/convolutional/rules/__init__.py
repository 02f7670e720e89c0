"""What each operator of torch becomes in a fully convolutional form; one family a file."""
