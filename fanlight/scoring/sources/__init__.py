"""Where images come from: a folder, a glob, a zip, tables; on this machine or elsewhere."""
