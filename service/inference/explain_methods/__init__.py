"""The methods that explain a prediction; each module registers its own."""
