"""One small command a file; also the console scripts."""
