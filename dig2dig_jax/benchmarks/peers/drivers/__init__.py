"""How is a peer's own program run? By a script for each, in the peer's interpreter: nothing imports them."""
