"""Files of weights that others have saved → a state_dict that fits a network of ours.

file → `saved_files`: its content → `state_dicts`: the one that is meant → `names`: as ours
"""
