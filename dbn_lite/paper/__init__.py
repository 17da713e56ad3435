"""The reproduction: what the paper reports, measured again, recorded and laid beside it."""
