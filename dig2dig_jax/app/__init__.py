"""A page on this machine: images dropped, fused, compared, and what was decided said. A window onto the package."""
