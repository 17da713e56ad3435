"""Instruments for looking at a net: how likely it finds images, its ravines, its dreams; and all in a hundred lines."""
