"""Instruments for looking at a net: how likely it finds images, and the ravines of its memory."""
