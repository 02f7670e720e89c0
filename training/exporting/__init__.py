"""Export formats, one module each: a published version → a file for other programs."""
