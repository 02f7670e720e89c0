"""Files of weights from elsewhere → a state_dict that fits a network of ours.

file → `saved_files`: its content → `state_dicts`: the right one in it → `names`: with our names
"""
