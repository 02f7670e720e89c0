"""Studies: a question, the recipes that answer it, and what their first author found."""
