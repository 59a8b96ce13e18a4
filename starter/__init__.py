"""Finished small runs and clips that ship, so that no page opens empty; `make starter` makes them again."""
