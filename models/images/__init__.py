"""Images: encoded bytes of any format → pixels as a network takes them, within limits."""
