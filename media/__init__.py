"""Files to pixels: the only room that knows file formats."""
