"""Two senses over one memory: images and spoken digits, each imagined from the other (figure 1 of the paper)."""
