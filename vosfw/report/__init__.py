"""Pages about runs: parts of a page, the pictures in them, and one HTML file that holds it all."""
