"""Instruments for looking at a net: how likely it finds images, the ravines of its memory, and how well it dreams."""
