"""What is odd about a data set: the findings before a training, doubtful labels after it."""
