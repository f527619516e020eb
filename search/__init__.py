"""Parse, embed, rank: one file per way of asking."""
