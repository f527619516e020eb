"""Files that ship with Glimpse: the tag vocabulary and the demonstration photos."""
